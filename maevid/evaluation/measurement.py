"""One measurement (a codec at a rate index on an input) and the file that keeps them across runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

from maevid.errors import InputError, OutputError

Key: TypeAlias = tuple[str, str, int, int]


@dataclass(frozen=True)
class Measurement:
    """Results of one codec at one rate index on the frames of one input.

    ``codec_key`` tells codec, weights and settings apart. ``sizes`` are packet bytes, header included, ``metrics``
    values by name, both one entry a frame. Seconds are wall time for all frames on ``threads`` threads.
    """

    codec: str
    codec_key: str
    input: str
    group: str
    input_sha256: str
    frames: int
    rate_index: int
    lam: float
    width: int
    height: int
    sizes: list[int]
    metrics: dict[str, list[float]]
    encode_seconds: float
    decode_seconds: float
    threads: int
    date: str = ""
    settings: str = ""

    @property
    def key(self) -> Key:
        """What makes it the same measurement."""
        return self.codec_key, self.input_sha256, self.frames, self.rate_index

    @property
    def bits_per_pixel(self) -> float:
        """Packet bits over luma samples, mean over the frames."""
        return 8 * fmean(self.sizes) / (self.width * self.height)

    def quality(self, name: str) -> float | None:
        """Mean over the frames of a metric; None where it was not measured."""
        values = self.metrics.get(name)
        return fmean(values) if values else None


@dataclass
class Store:
    """Measurements in a JSON-lines file, each written when it is there: a killed run goes on after the last.

    A last line cut short by a kill is dropped. ``points`` are the rate indices that were chosen for a codec on a set
    of inputs. Raises InputError for a file that is something else.
    """

    path: Path
    measurements: dict[Key, Measurement] = field(default_factory=dict)
    points: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text().split("\n")
        if lines[-1]:
            # The run was killed within a line: what comes next must not be written behind its half.
            self.path.write_text("".join(f"{line}\n" for line in lines[:-1]))
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(
                    f"{self.path} line {number} is no measurement: delete the line or the file"
                ) from error

    def add(self, measurement: Measurement) -> None:
        """Keep one measurement."""
        self.measurements[measurement.key] = measurement
        self._write({"type": "measurement", **asdict(measurement)})

    def add_points(self, key: str, indices: list[int]) -> None:
        """Keep chosen rate indices."""
        self.points[key] = indices
        self._write({"type": "points", "key": key, "indices": indices})

    def _take(self, record: dict[str, Any]) -> None:
        if record["type"] == "points":
            self.points[record["key"]] = record["indices"]
            return
        known = {item.name for item in fields(Measurement)}
        measurement = Measurement(**{name: value for name, value in record.items() if name in known})
        self.measurements[measurement.key] = measurement

    def _write(self, record: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
