"""The statistics file: what the first pass measured and what the encoder reported, as JSON lines.

It is a recording (:mod:`maevid.report_io`), so whatever reads those shows it. Beside the ``frame`` records it has
one of type ``clip`` (format version and the key of clip and codec), one of type ``timeline`` (times, cuts, and
what is copied along; of a long clip several, each with the next of the times) and one of type ``cost`` for each
measured frame.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from maevid.atomic import AtomicFile
from maevid.errors import InputError, OutputError
from maevid.rate.costs import Costs, FrameCost
from maevid.rate.timeline import Timeline
from maevid.report import FrameReport
from maevid.report_io import RecordingWriter, read_records

VERSION = 1
PIECE = 4096
"""Times in a record at most: lines stay short however long the clip is."""
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


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
    not last as long as the average rate says: what both cost in the container is known only from this. ``rungs``
    are the indices to use where all frames are alike (:mod:`maevid.rate.rungs`).
    """

    seconds: array[float] = field(default_factory=lambda: array("d"))
    last_duration: float = 0.0
    costs: Costs = field(default_factory=Costs)
    cuts: list[int] = field(default_factory=list)
    other_bytes: int = 0
    sound_packets: int = 0
    other_packets: int = 0
    own_durations: int = 0
    rungs: list[int] = field(default_factory=list)

    def count_other(self, size: int, *, sound: bool) -> None:
        """Take note of a packet that is not the video's."""
        self.other_bytes += size
        self.sound_packets += sound
        self.other_packets += not sound

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown."""
        return Timeline.of(self.seconds, self.last_duration)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All of it in pieces of bounded size that JSON can hold, each with its type: ``timeline``, then ``cost``."""
        for start in range(0, max(len(self.seconds), 1), PIECE):
            stop = start + PIECE
            record: dict[str, Any] = {"seconds": self.seconds[start:stop].tolist()}
            if stop >= len(self.seconds):
                record |= {name: getattr(self, name) for name in _NUMBERS}
            cuts = slice(bisect_left(self.cuts, start), bisect_left(self.cuts, stop))
            yield "timeline", {**record, "cuts": self.cuts[cuts]}
        for cost in self.costs:
            yield "cost", {"frame": cost.frame, "bits": cost.bits, "psnr": cost.psnr}

    def take(self, kind: str, record: Mapping[str, Any]) -> None:
        """Take a piece, in the order of :meth:`records`, after a way through JSON.

        Raises ValueError, KeyError, TypeError, AttributeError or OverflowError for what is none.
        """
        if kind == "cost":
            self.costs.append(_cost(record))
            return
        if not {"seconds", "cuts"} <= record.keys() <= {"seconds", "cuts", *_NUMBERS}:
            raise ValueError("the timeline lacks times or cuts, or has what does not belong there")
        self.seconds.extend(record["seconds"])
        self.cuts += record["cuts"]
        for name in record.keys() - {"seconds", "cuts"}:
            setattr(self, name, record[name])
        self.rungs = sorted(int(index) for index in self.rungs)


_NUMBERS = [f.name for f in fields(FirstPass) if f.name not in ("seconds", "costs", "cuts")]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The content of a statistics file."""

    key: StatisticsKey
    first: FirstPass
    reports: tuple[FrameReport, ...]


class StatisticsWriter:
    """Writes a statistics file while an encode goes on; it appears whole when the ``with`` block ends well, or not at
    all. ``token`` is that of the temporary name (random otherwise).

    Raises OutputError where it cannot be written.
    """

    def __init__(self, path: Path, key: StatisticsKey, first: FirstPass, token: str | None = None) -> None:
        self._path = path
        with ExitStack() as stack, self._failing_clearly():
            file = stack.enter_context(AtomicFile(path, token))
            self._out = stack.enter_context(file.temporary.open("w", encoding="utf-8"))
            self._recording = RecordingWriter(self._out)
            self._recording.record("clip", {"statistics": VERSION, **asdict(key)})
            for kind, record in first.records():
                self._recording.record(kind, record)
            self._open = stack.pop_all()

    def frame(self, report: FrameReport) -> None:
        """Add the report of the next frame."""
        with self._failing_clearly():
            self._recording.frame(report)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._failing_clearly():
            self._open.__exit__(kind, error, trace)

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write statistics to {self._path}: {error.strerror or error}"
            ) from error


def read_statistics(path: Path, key: StatisticsKey | None = None) -> Statistics:
    """Read a statistics file; with a ``key``, only one made for such pictures and that codec.

    Raises InputError for a file that is missing, not a statistics file, of another version, damaged, or
    made for something else.
    """
    reports: list[FrameReport] = []
    found, first = _read(path, key, reports.append)
    return Statistics(found, first, tuple(reports))


def read_first_pass(path: Path, key: StatisticsKey) -> FirstPass:
    """The first pass of a statistics file, without the reports, which take a hundred times the memory.

    Raises as :func:`read_statistics` does.
    """
    return _read(path, key, lambda report: None)[1]


def _read(
    path: Path, key: StatisticsKey | None, take: Callable[[FrameReport], None]
) -> tuple[StatisticsKey, FirstPass]:
    """Key and first pass of a statistics file; each report goes to ``take``."""
    clip: dict[str, Any] = {}
    first = FirstPass()
    damage: Exception | None = None
    for record in read_records(path):
        if isinstance(record, FrameReport):
            take(record)
        elif record["type"] == "clip":
            clip = {name: value for name, value in record.items() if name != "type"}
        elif record["type"] in ("timeline", "cost") and damage is None:
            try:
                first.take(record["type"], {name: value for name, value in record.items() if name != "type"})
            except _DAMAGE as error:
                damage = error
    version = clip.pop("statistics", None)
    if version is None:
        raise InputError(f"{path} is not a maevid statistics file")
    if version != VERSION:
        raise InputError(f"{path} has statistics of version {version}; this program reads version {VERSION}")
    try:
        found = StatisticsKey(**clip)
        if damage is not None:
            raise damage
        first.timeline  # noqa: B018 (times that do not rise are refused here, not in mid-encode)
    except _DAMAGE as error:
        raise InputError(f"{path} is a damaged statistics file: {error}") from error
    if key is not None and key != found:
        raise InputError(
            f"{path} was measured on {found.width}x{found.height} with {found.codec} ({found.identity}), "
            f"not {key.width}x{key.height} with {key.codec} ({key.identity}): it belongs to something else"
        )
    return found, first


def _cost(record: Mapping[str, Any]) -> FrameCost:
    """JSON has text for keys; rate indices are integers again."""
    bits = {int(i): float(b) for i, b in record["bits"].items()}
    psnr = {int(i): float(p) for i, p in record["psnr"].items()}
    return FrameCost(int(record["frame"]), bits, psnr)
