"""The statistics file: what the first pass measured and what the encoder reported, as JSON lines.

It is a recording (:mod:`maevid.report_io`), so whatever reads those shows it. Beside the ``frame`` records it has
one of type ``clip`` (format version and the key of clip and codec), one of type ``timeline`` (times, cuts, and
what is copied along) and one of type ``cost`` for each measured frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from maevid.atomic import atomic_output
from maevid.errors import InputError, OutputError
from maevid.rate.model import FrameCost
from maevid.rate.timeline import Timeline
from maevid.report import FrameReport
from maevid.report_io import RecordingWriter, read_recording

VERSION = 1


@dataclass(frozen=True, slots=True)
class StatisticsKey:
    """What measurements belong to: pictures of a size, and a codec with weights.

    ``identity`` is the codec's four bytes in hexadecimal digits.
    """

    width: int
    height: int
    codec: str
    identity: str


@dataclass
class FirstPass:
    """What the first pass found: times of all frames in seconds, measured costs, first frames of scenes.

    ``other_bytes`` counts the packets of sound and of all other copied streams, ``own_durations`` the frames that do
    not last as long as the average rate says: what both cost in the container is known only from this.
    """

    seconds: list[float] = field(default_factory=list)
    last_duration: float = 0.0
    costs: list[FrameCost] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    other_bytes: int = 0
    sound_packets: int = 0
    other_packets: int = 0
    own_durations: int = 0

    def count_other(self, size: int, *, sound: bool) -> None:
        """Take note of a packet that is not the video's."""
        self.other_bytes += size
        self.sound_packets += sound
        self.other_packets += not sound

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown."""
        return Timeline.of(self.seconds, self.last_duration)


def first_pass_from(record: Mapping[str, Any]) -> FirstPass:
    """What ``asdict`` made of a first pass, after a way through JSON."""
    return FirstPass(**{**record, "costs": [_cost(cost) for cost in record["costs"]]})


@dataclass(frozen=True, slots=True)
class Statistics:
    """The content of a statistics file."""

    key: StatisticsKey
    first: FirstPass
    reports: tuple[FrameReport, ...]


def write_statistics(
    path: Path, key: StatisticsKey, first: FirstPass, reports: Iterable[FrameReport] = ()
) -> None:
    """Write a statistics file; it appears whole or not at all. Raises OutputError."""
    timeline = asdict(first)
    costs = timeline.pop("costs")
    try:
        with atomic_output(path) as partial, partial.open("w", encoding="utf-8") as out:
            writer = RecordingWriter(out)
            writer.record("clip", {"statistics": VERSION, **asdict(key)})
            writer.record("timeline", timeline)
            for cost in costs:
                writer.record("cost", cost)
            for report in reports:
                writer.frame(report)
    except OSError as error:
        raise OutputError(f"cannot write statistics to {path}: {error.strerror or error}") from error


def read_statistics(path: Path, key: StatisticsKey | None = None) -> Statistics:
    """Read a statistics file; with a ``key``, only one made for such pictures and that codec.

    Raises InputError for a file that is missing, not a statistics file, of another version, damaged, or
    made for something else.
    """
    recording = read_recording(path)
    clip = dict(recording.record("clip"))
    clip.pop("type", None)
    version = clip.pop("statistics", None)
    if version is None:
        raise InputError(f"{path} is not a maevid statistics file")
    if version != VERSION:
        raise InputError(f"{path} has statistics of version {version}; this program reads version {VERSION}")
    try:
        found = StatisticsKey(**clip)
        timeline = dict(recording.record("timeline"))
        timeline.pop("type", None)
        costs = [record for record in recording.records if record["type"] == "cost"]
        first = first_pass_from({**timeline, "costs": costs})
        first.timeline  # noqa: B018 (times that do not rise are refused here, not in mid-encode)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is a damaged statistics file: {error}") from error
    if key is not None and key != found:
        raise InputError(
            f"{path} was measured on {found.width}x{found.height} with {found.codec} ({found.identity}), "
            f"not {key.width}x{key.height} with {key.codec} ({key.identity}): it belongs to something else"
        )
    return Statistics(found, first, recording.reports)


def _cost(record: Mapping[str, Any]) -> FrameCost:
    """JSON has text for keys; rate indices are integers again."""
    bits = {int(i): float(b) for i, b in record["bits"].items()}
    psnr = {int(i): float(p) for i, p in record["psnr"].items()}
    return FrameCost(int(record["frame"]), bits, psnr)
