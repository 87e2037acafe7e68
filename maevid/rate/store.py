"""The statistics file: what the first pass measured and what the encoder reported, as JSON lines.

The first line is a header with the format version and the key of clip and codec; every further line is an
object with one member: ``cost`` (see :class:`FrameCost`) or ``report`` (see :class:`FrameReport`).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maevid.errors import InputError, OutputError
from maevid.rate.model import FrameCost
from maevid.report import FrameReport

VERSION = 1


@dataclass(frozen=True, slots=True)
class StatisticsKey:
    """What measurements belong to: a clip (its size, frames and duration in seconds) and a codec with
    weights.

    ``identity`` is the codec's four bytes in hexadecimal digits.
    """

    width: int
    height: int
    frames: int
    duration: float
    codec: str
    identity: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """The content of a statistics file."""

    key: StatisticsKey
    costs: tuple[FrameCost, ...]
    reports: tuple[FrameReport, ...]


def write_statistics(
    path: Path, key: StatisticsKey, costs: Iterable[FrameCost], reports: Iterable[FrameReport] = ()
) -> None:
    """Write a statistics file; it appears whole or not at all. Raises OutputError."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(json.dumps({"maevid_statistics": VERSION, **asdict(key)}) + "\n")
            out.writelines(json.dumps({"cost": asdict(c)}) + "\n" for c in costs)
            out.writelines(json.dumps({"report": asdict(r)}) + "\n" for r in reports)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write statistics to {path}: {error.strerror or error}") from error
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_statistics(path: Path, key: StatisticsKey | None = None) -> Statistics:
    """Read a statistics file; with a ``key``, only one made for that clip and codec.

    Raises InputError for a file that is missing, not a statistics file, of another version, damaged, or
    made for something else.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return _parse(path, lines, key)
    except OSError as error:
        raise InputError(f"cannot read statistics from {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a maevid statistics file") from error


def _parse(path: Path, lines: Iterator[str], key: StatisticsKey | None) -> Statistics:
    try:
        header = json.loads(next(lines, ""))
        version = header.pop("maevid_statistics")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not a maevid statistics file") from error
    if version != VERSION:
        raise InputError(f"{path} has statistics of version {version}; this program reads version {VERSION}")
    try:
        found = StatisticsKey(**header)
    except TypeError as error:
        raise InputError(f"{path}, line 1: the header is damaged") from error
    if key is not None:
        _compare(path, found, key)
    costs: list[FrameCost] = []
    reports: list[FrameReport] = []
    for number, line in enumerate(lines, start=2):
        try:
            entry: dict[str, Any] = json.loads(line)
            if "cost" in entry:
                costs.append(_cost(entry["cost"]))
            else:
                reports.append(FrameReport(**entry["report"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number}: not a measurement; the file is damaged") from error
    return Statistics(found, tuple(costs), tuple(reports))


def _cost(entry: dict[str, Any]) -> FrameCost:
    """JSON has text for keys; rate indices are integers again."""
    bits = {int(i): float(b) for i, b in entry["bits"].items()}
    psnr = {int(i): float(p) for i, p in entry["psnr"].items()}
    return FrameCost(int(entry["frame"]), bits, psnr)


def _compare(path: Path, found: StatisticsKey, key: StatisticsKey) -> None:
    if (found.codec, found.identity) != (key.codec, key.identity):
        raise InputError(
            f"{path} was measured with codec {found.codec} ({found.identity}), not {key.codec} "
            f"({key.identity}); leave out the statistics file or use that codec"
        )
    same_time = abs(found.duration - key.duration) < 1e-3 * max(1.0, key.duration)
    if (found.width, found.height, found.frames) != (key.width, key.height, key.frames) or not same_time:
        raise InputError(
            f"{path} belongs to another clip: {found.frames} frames of {found.width}x{found.height} in "
            f"{found.duration:.3f} s, not {key.frames} of {key.width}x{key.height} in {key.duration:.3f} s"
        )
