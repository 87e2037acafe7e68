"""Going on with an interrupted encode: coded frames come from the journal, all else happens as it did the first time.

Frames are read again, rates are chosen again, and the file is written again; only the coding of a frame, which takes
nearly all the time, is looked up. So the result equals that of an uninterrupted run byte for byte, and a frame whose
samples or rate are not those of the journal is simply coded.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

import numpy as np

from maevid import __version__
from maevid.atomic import temporary_path
from maevid.codec.interface import Encoded, FrameCodec
from maevid.codec.standin import StandIn
from maevid.errors import DamagedError, OutputError, UsageError
from maevid.pipeline.events import Control, Listener, Note
from maevid.pipeline.journal import Journal, Record, journal_path
from maevid.pipeline.measure import measured
from maevid.pipeline.places import Places
from maevid.rate import FirstPass
from maevid.stream.packet import MAX_SIDE, Packet
from maevid.video.frame import Frame

if TYPE_CHECKING:
    from maevid.pipeline.compress import CompressOptions

_JOB, _FIRST, _FRAME = "job", "first", "frame"
_TOKEN = re.compile("[0-9a-f]{16}")
"""It becomes part of a file's name."""


class KeptWork:
    """What one encode keeps as it goes, and what an interrupted one has kept before it.

    As a context manager around the writing of the output: a success removes the journal; an interruption (Ctrl-C) or
    an output that cannot be written keeps it and says so in the exception; any other failure, which would come again,
    removes it. A killed process leaves it as it is. ``arithmetic`` is the team's.

    Raises, from the constructor: UsageError where ``options.resume`` asks for what was begun otherwise or is done
    already; OutputError where another process is at work on it.
    """

    def __init__(
        self, options: CompressOptions, codec: FrameCodec, arithmetic: str, publish: Listener
    ) -> None:
        self.codec: FrameCodec = _JournalledCodec(codec, self)
        self._output = options.output
        self._written = [p for p in (options.output, options.statistics_out) if p is not None]
        self._publish = publish
        self._path = journal_path(options.output)
        self._job = _job(options, codec, arithmetic)
        self._keeps_first = options.statistics_in is None
        self._journal: Journal | None = None
        self._token = secrets.token_hex(8)
        self._found: FirstPass | None = None
        self._places = Places()
        self._frames = 0
        self._last_pts: int | None = None
        if options.resume:
            self._take_up()

    def first_pass(self, control: Control, measure: Callable[[], FirstPass | None]) -> FirstPass | None:
        """What the first pass found before, else what ``measure`` finds; that is kept when it was not cut short."""
        if self._found is None:
            self._found = measure()
            if self._found is not None and self._keeps_first and not control.finishing:
                journal = self._opened()
                # Pieces without an end are what a killed process leaves: the first pass is then made anew. One at a
                # time, for those of an hour take ten megabytes.
                for kind, record in chain([("begin", {})], self._found.records(), [("end", {})]):
                    journal.append({"kind": _FIRST, "piece": kind, **record})
        return self._found

    @property
    def token(self) -> str:
        """Of the temporary name under which the output is written."""
        return self._token

    def recall(self, frame: Frame, rate_index: int) -> Encoded | None:
        """The coded frame that the journal has, without its picture; None where it has none for these samples."""
        found = self._places.find(frame.pts, rate_index)
        if found is None or self._journal is None or found[1] != _check_value(frame):
            return None
        return _coded(self._journal.read(found[0]))

    def keep(self, frame: Frame, rate_index: int, encoded: Encoded) -> None:
        """Write a coded frame into the journal. Raises OutputError."""
        values = {
            "kind": _FRAME,
            "frame": [frame.pts, rate_index, _check_value(frame)],
            "parts": {name: int(bits) for name, bits in encoded.parts.items()},
            "psnr": {name: float(decibels) for name, decibels in encoded.psnr.items()},
        }
        self._opened().append(values, encoded.packet.to_bytes())
        self._count(frame.pts)

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        journal = self._opened()
        worthy = self._frames > 0 or (self._found is not None and self._keeps_first)
        if not worthy or not isinstance(error, KeyboardInterrupt | OutputError):
            journal.remove()
            return
        journal.close()
        what = f"{self._frames} coded frames are" if self._frames else "the first pass is"
        kept = f"{what} kept: the same command with --resume goes on from there"
        if isinstance(error, OutputError):
            raise OutputError(f"{error}; {kept}") from error
        raise KeyboardInterrupt(kept) from None

    def _opened(self) -> Journal:
        """The journal, which is made when the first thing is to be kept: until then an older one stays."""
        if self._journal is None:
            self._clear_away()
            self._journal = Journal.create(self._path)
            self._journal.append({"kind": _JOB, "token": self._token, "job": self._job})
        return self._journal

    def _take_up(self) -> None:
        """Read the journal of the interrupted encode."""
        try:
            journal = Journal.open(self._path)
        except BlockingIOError:
            raise OutputError(f"another process is writing {self._output}") from None
        if journal is None:
            if Path(self._output).exists():
                raise UsageError(
                    f"{self._output} is complete, there is nothing to resume; without --resume it is made anew"
                )
            self._publish(Note("there is nothing to resume; starting at the first frame"))
            return
        records = journal.records()
        begun = _begun(records)
        if begun is None:
            # Killed before its first record was whole.
            journal.close()
            return
        token, job = begun
        others = [name for name, value in self._job.items() if job.get(name) != value]
        if others:
            journal.close()
            raise UsageError(
                f"{self._output} was begun with other values of: {', '.join(others)}; give the same as then, or "
                "leave out --resume to start anew"
            )
        self._token = token
        first = FirstPass()
        for record in records:
            if record.values["kind"] == _FRAME:
                pts, rate_index, check = record.values["frame"]
                self._places.add(pts, rate_index, record.at, check)
                self._count(pts)
                continue
            piece = record.values["piece"]
            if piece == "begin":
                first = FirstPass()
            elif piece == "end":
                self._found = first
            else:
                first.take(piece, {k: v for k, v in record.values.items() if k not in ("kind", "piece")})
        self._remove_parts(self._token)
        self._journal = journal
        self._publish(Note(f"going on with an interrupted encode: {self._frames} frames are coded already"))

    def _count(self, pts: int) -> None:
        """Count a frame once, however often it was coded: times increase."""
        if self._last_pts is None or pts > self._last_pts:
            self._frames, self._last_pts = self._frames + 1, pts

    def _remove_parts(self, token: str) -> None:
        """Remove the outputs that a killed process has begun."""
        for path in self._written:
            temporary_path(path, token).unlink(missing_ok=True)

    def _clear_away(self) -> None:
        """Remove what a killed process has left of this output. What one that is alive writes stays."""
        try:
            old = Journal.open(self._path)
        except BlockingIOError:
            return
        if old is None:
            return
        begun = _begun(old.records())
        if begun is not None:
            self._remove_parts(begun[0])
            self._publish(
                Note("an interrupted encode of this output starts anew (--resume would go on with it)")
            )
        old.remove()


class _JournalledCodec(StandIn):
    """A codec that looks into the journal before it codes, and keeps there what it codes."""

    def __init__(self, codec: FrameCodec, kept: KeptWork) -> None:
        super().__init__(codec)
        self._kept = kept

    def encode_batch(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], *, reconstruct: bool = False
    ) -> list[Encoded]:
        """As the codec does. A batch of which a frame is not known is coded as a whole, as it was the first time."""
        known = [self._kept.recall(f, i) for f, i in zip(frames, rate_indices, strict=True)]
        recalled = [encoded for encoded in known if encoded is not None]
        if len(recalled) == len(known):
            return recalled
        coded = self._codec.encode_batch(frames, rate_indices, reconstruct=reconstruct)
        results = []
        for frame, index, encoded, before in zip(frames, rate_indices, coded, known, strict=True):
            results.append(measured(frame, encoded))
            if before is None:
                self._kept.keep(frame, index, results[-1])
        return results


def _begun(records: Iterator[Record]) -> tuple[str, dict[str, Any]] | None:
    """Token and job of a journal's first record; None where that is not whole, or names no token of ours."""
    values = next((record.values for record in records), {})
    token, job = values.get("token"), values.get("job")
    if values.get("kind") != _JOB or not isinstance(job, dict) or not _TOKEN.fullmatch(str(token)):
        return None
    return str(token), job


def _job(options: CompressOptions, codec: FrameCodec, arithmetic: str) -> dict[str, Any]:
    """What decides the bytes of an output, under the names that a user would look for."""
    found = options.statistics_in
    job = {
        "input": _identity(options.input),
        "--stream": options.stream,
        "target or rate control": asdict(options.request),
        "--codec": codec.name,
        "--weights": codec.sha256 or codec.identity.hex(),
        "--device, --precision or --effort": arithmetic,
        "--measure, --json or --tui": options.measure,
        "--stats-in": hashlib.sha256(found.read_bytes()).hexdigest() if found and found.is_file() else None,
        "maevid's version": __version__,
    }
    compared: dict[str, Any] = json.loads(json.dumps(job))
    return compared


def _identity(source: str) -> list[Any]:
    """Size and time of the last change of a file, or of each file that a pattern of names may mean."""
    path = Path(source)
    files = [path] if "%" not in path.name or path.is_file() else sorted(path.parent.glob("*" + path.suffix))
    return [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]


def _check_value(frame: Frame) -> int:
    """CRC-32 of all that a packet depends on beside time and rate."""
    check = crc32(f"{frame.width} {frame.height} {frame.duration}".encode())
    for plane in frame.planes:
        check = crc32(np.ascontiguousarray(plane).data, check)
    return check


def _coded(record: Record) -> Encoded:
    values: Mapping[str, Any] = record.values
    try:
        packet = Packet.from_bytes(record.body, max_pixels=MAX_SIDE**2)
    except DamagedError as error:
        raise OutputError(f"the journal is damaged: {error}; start anew without --resume") from error
    return Encoded(packet, parts=values["parts"], psnr=values["psnr"])
