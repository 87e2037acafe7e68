"""Runs codecs over inputs and rate points; what was measured before is not measured again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from maevid.codec.interface import CodecOptions, Encoded, FrameCodec
from maevid.codec.registry import name_and_effort, open_codec
from maevid.errors import MaevidError
from maevid.evaluation import vmaf
from maevid.evaluation.inputs import Input
from maevid.evaluation.measurement import Measurement, Store
from maevid.evaluation.metrics import Planes, measure
from maevid.evaluation.points import rate_points
from maevid.pipeline.threads import on_threads
from maevid.video.frame import Frame

PROBES = 4
"""Inputs of a group on which a codec's rate points are chosen."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to run. ``points`` rate indices a codec, ``frames`` of each clip, all on ``threads`` threads.

    A codec is named as it is registered; ``NAME@N`` is the same with effort N.
    """

    inputs: Sequence[Input]
    codecs: Sequence[str]
    points: int = 6
    frames: int = 8
    threads: int = 1
    options: CodecOptions = field(default_factory=CodecOptions)


@dataclass(frozen=True)
class Failure:
    """A codec that could not do an input (``input`` is empty: a whole group of them), and why."""

    codec: str
    input: str
    reason: str


@dataclass
class Outcome:
    """The measurements of a plan, in the order of its inputs, codecs and rate indices, and what failed."""

    measurements: list[Measurement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def run(plan: Plan, store: Store, tell: Tell) -> Outcome:
    """Measure what the store does not have yet, and give all that the plan asks for.

    A codec that fails on an input is noted and the rest goes on. Raises UsageError for a codec that is not there.
    """
    with on_threads(plan.threads):
        codecs = {label: _opened(label, plan.options) for label in plan.codecs}
        return _Run(plan, store, tell, codecs).run()


def _opened(label: str, options: CodecOptions) -> FrameCodec:
    name, effort = name_and_effort(label)
    return open_codec(name, replace(options, effort=effort))


def codec_key(codec: FrameCodec) -> str:
    """What makes results of a codec comparable: its name, weights and the way it runs."""
    parts = (codec.name, codec.sha256 or codec.identity.hex(), codec.description)
    return f"{codec.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


class _Run:
    def __init__(self, plan: Plan, store: Store, tell: Tell, codecs: Mapping[str, FrameCodec]) -> None:
        self.plan, self.store, self.tell, self.codecs = plan, store, tell, codecs
        self.outcome = Outcome()
        self.groups: dict[str, list[Input]] = {}
        for item in plan.inputs:
            self.groups.setdefault(item.group, []).append(item)

    def run(self) -> Outcome:
        for group, inputs in self.groups.items():
            points = {label: self._points(label, group, inputs) for label in self.codecs}
            for item in inputs:
                self._input(item, points)
        return self.outcome

    def _points(self, label: str, group: str, inputs: Sequence[Input]) -> list[int]:
        """Rate indices of a codec for a group; none, and a failure noted, where it cannot code any of it."""
        codec = self.codecs[label]
        names = repr([item.sha256 for item in inputs])
        digest = hashlib.sha256(names.encode()).hexdigest()[:12]
        key = f"{codec_key(codec)} {group} {digest} {self.plan.points}"
        if key not in self.store.points:
            self.tell(f"{group}: choosing rate points of {label}")
            try:
                frames = self._probes(codec, inputs)
                self.store.add_points(key, rate_points(codec, frames, self.plan.points))
            except Exception as error:
                self._fail(label, "", error)
                return []
        return self.store.points[key]

    def _probes(self, codec: FrameCodec, inputs: Sequence[Input]) -> list[Frame]:
        """A frame each of some inputs, of those that the codec can code. Raises its last error if it can none."""
        frames: list[Frame] = []
        failed: Exception | None = None
        for item in inputs[:: max(1, len(inputs) // PROBES)]:
            try:
                frame = item.load(1)[0]
                codec.encode(frame, codec.rate_indices[0])
                frames.append(frame)
            except Exception as error:
                failed = error
        if failed is not None and not frames:
            raise failed
        return frames

    def _input(self, item: Input, points: dict[str, list[int]]) -> None:
        frames: list[Frame] = []
        for label, codec in self.codecs.items():
            key = codec_key(codec)
            for index in points[label]:
                count = 1 if item.picture else self.plan.frames
                known = self.store.measurements.get((key, item.sha256, count, index))
                if known is None:
                    try:
                        frames = frames or item.load(count)
                        self.tell(f"{item.group}/{item.name}: {label} at rate index {index}")
                        known = self._measure(label, item, frames, index, count)
                    except Exception as error:
                        self._fail(label, item.name, error)
                        break
                    self.store.add(known)
                self.outcome.measurements.append(known)

    def _measure(self, label: str, item: Input, frames: list[Frame], index: int, count: int) -> Measurement:
        codec = self.codecs[label]
        batch = max(1, codec.batch_size)
        parts = [frames[at : at + batch] for at in range(0, len(frames), batch)]
        began = time.perf_counter()
        encoded: list[Encoded] = []
        for part in parts:
            encoded += codec.encode_batch(part, [index] * len(part))
        coded = time.perf_counter()
        decoded: list[Planes] = []
        for at in range(0, len(encoded), batch):
            decoded += codec.decode_batch([one.packet for one in encoded[at : at + batch]])
        done = time.perf_counter()
        values: dict[str, list[float]] = {}
        for frame, planes in zip(frames, decoded, strict=True):
            for name, value in measure(frame.planes, planes).items():
                values.setdefault(name, []).append(value)
        if vmaf.available() and (scores := vmaf.vmaf([frame.planes for frame in frames], decoded)):
            values["vmaf"] = scores
        return Measurement(
            codec=label,
            codec_key=codec_key(codec),
            input=item.name,
            group=item.group,
            input_sha256=item.sha256,
            frames=count,
            rate_index=index,
            lam=codec.lam(index),
            width=frames[0].width,
            height=frames[0].height,
            sizes=[len(one.packet.to_bytes()) for one in encoded],
            metrics=values,
            encode_seconds=coded - began,
            decode_seconds=done - coded,
            threads=self.plan.threads,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=codec.description,
        )

    def _fail(self, codec: str, item: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, MaevidError) else f"{type(error).__name__}: {error}"
        self.outcome.failures.append(Failure(codec, item, reason))
        self.tell(f"{codec} fails on {item or 'a whole group'}: {reason}")
