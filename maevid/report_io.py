"""Frame reports as JSON lines, one record a line: what ``--json`` prints and what a statistics file holds.

Every record is an object with a ``type``. ``frame`` is a :class:`~maevid.report.FrameReport`; any other type
(``clip``: what was coded, ``summary``: how it ended) is kept as a plain object for those who know it. Numbers
round-trip exactly: Python writes the shortest decimal that reads back as the same double.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from maevid.errors import InputError
from maevid.report import FrameReport

_NUMBERS = ("index", "pts", "width", "height", "rate_index", "bits")
_REALS = ("seconds", "duration", "lam")
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Recording:
    """The content of a JSON-lines file: its frame reports in file order, and all other records as they stand."""

    reports: tuple[FrameReport, ...]
    records: tuple[Mapping[str, Any], ...] = ()

    def record(self, kind: str) -> Mapping[str, Any]:
        """The last record of this type; empty when the file has none."""
        return next((r for r in reversed(self.records) if r["type"] == kind), {})


def report_to_json(report: FrameReport) -> str:
    """One line without its newline. Raises ValueError for a number that is not finite."""
    record = {
        "type": "frame",
        **{name: int(getattr(report, name)) for name in _NUMBERS},
        **{name: float(getattr(report, name)) for name in _REALS},
        "parts": {name: int(bits) for name, bits in report.parts.items()},
        "psnr": {name: float(db) for name, db in report.psnr.items()},
        "stage_seconds": {name: float(s) for name, s in report.stage_seconds.items()},
        "buffer": None if report.buffer is None else float(report.buffer),
        "scene_cut": bool(report.scene_cut),
    }
    return json.dumps(record, allow_nan=False, separators=(",", ":"))


def report_from_record(record: Mapping[str, Any]) -> FrameReport:
    """Rebuild the report of a ``frame`` record. Raises ValueError that names the field which is missing or wrong."""
    try:
        values: dict[str, Any] = {name: _whole(record[name], name) for name in _NUMBERS}
        values.update({name: _real(record[name], name) for name in _REALS})
        values["parts"] = {str(k): _whole(v, "parts") for k, v in record.get("parts", {}).items()}
        for name in ("psnr", "stage_seconds"):
            values[name] = {str(k): _real(v, name) for k, v in record.get(name, {}).items()}
        buffer = record.get("buffer")
    except KeyError as error:
        raise ValueError(f"field {error.args[0]!r} is missing") from None
    except AttributeError:
        raise ValueError("'parts', 'psnr' and 'stage_seconds' must be objects") from None
    if values["width"] < 1 or values["height"] < 1:
        raise ValueError("the picture size must be positive")
    if values["psnr"] and not {"y", "u", "v"} <= values["psnr"].keys():
        raise ValueError("'psnr' must name y, u and v, or nothing")
    return FrameReport(
        **values,
        buffer=None if buffer is None else _real(buffer, "buffer"),
        scene_cut=bool(record.get("scene_cut", False)),
    )


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"field {name!r} must be an integer")
    return value


def _real(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"field {name!r} must be a finite number")
    return float(value)


class RecordingWriter:
    """Writes records to an open text file as they come; each line is flushed, so that a reader can follow."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def frame(self, report: FrameReport) -> None:
        """Write one frame report."""
        self._file.write(report_to_json(report) + "\n")
        self._file.flush()

    def record(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write a record of another type; ``values`` must be what JSON can hold."""
        if kind == "frame":
            raise ValueError("frame records are written by frame()")
        self._file.write(json.dumps({"type": kind, **values}, allow_nan=False, separators=(",", ":")) + "\n")
        self._file.flush()


def write_recording(path: Path, reports: Iterable[FrameReport], **records: Mapping[str, Any]) -> None:
    """Write a whole file (gzip where the name ends in ``.gz``): the other records first, named by their type."""
    with _create(path) as file:
        writer = RecordingWriter(file)
        for kind, values in records.items():
            writer.record(kind, values)
        for report in reports:
            writer.frame(report)


def _create(path: Path) -> IO[str]:
    return (
        gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8")
    )


def is_recording(path: Path) -> bool:
    """Whether the file starts like JSON lines (plain or gzip); False for anything that cannot be read."""
    try:
        with _open(path) as file:
            return file.read(1) == "{"
    except (OSError, EOFError, UnicodeDecodeError):
        return False


def read_recording(path: Path) -> Recording:
    """Read a whole file. Raises as :func:`read_records` does."""
    reports: list[FrameReport] = []
    records: list[Mapping[str, Any]] = []
    for record in read_records(path):
        if isinstance(record, FrameReport):
            reports.append(record)
        else:
            records.append(record)
    return Recording(tuple(reports), tuple(records))


def read_records(path: Path) -> Iterator[FrameReport | Mapping[str, Any]]:
    """The reports and other records of a file, plain or gzip, one after the other.

    A last line without newline that is no whole record is what a killed writer leaves: it is left out.
    Raises InputError with the line number for any other line that is not a record.
    """
    try:
        with _open(path) as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
                        raise ValueError("not an object with a 'type'")
                    found = report_from_record(record) if record["type"] == "frame" else record
                except ValueError as error:
                    if not line.endswith("\n") and len(line) < _MAX_LINE:
                        break
                    raise InputError(f"{path}, line {number}: no frame statistics ({error})") from None
                yield found
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a statistics file (it is not text)") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {path}: {reason}") from None


def _open(path: Path) -> IO[str]:
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8")
