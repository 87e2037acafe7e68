"""One cell of the rate-control table: a clip compressed in one mode for one target, and what is in the file."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from rate_clips import Content
from rate_truth import Truth

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.errors import TargetError
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.events import Event, Phase, PhaseChanged
from maevid.rate import RateRequest, RateScale, Timeline, Zone, leaky_bucket
from maevid.stream.reader import StreamReader

MODES = ("two-pass", "one-pass", "size", "peak", "peak-one-pass", "frame-bytes", "psnr")
EXTRA_MODES = ("zones", "smooth-0.5", "smooth-1")
PEAK, BUFFER = 1.2, 0.4
"""Of the target rate: ``--maxrate``, and ``--bufsize`` in seconds of it."""
SETTLED = 0.25
"""Distance of log2 λ from its scene's median at which it counts as settled."""
STARVED = 0.25
"""Share of frames out of reach of the target rate from which one pass promises nothing."""
TURNS = 4
"""Runs of two passes and of one at constant λ, the least of each counts: their ratio is a promise, and a single run on
a busy machine is off by a third."""
ZONE_TOLERANCE = 0.1
"""Of log2 of a zone's factor."""
ZONED = 20
"""Least frames of a clip for ``zones``: a tenth at half the λ that suits the target, and a quarter at twice the rest's.
"""


@dataclass
class Cell:
    """A row of the table; ``None`` where a figure means nothing in a mode.

    ``error`` is in % of the target (``psnr``: dB; ``frame-bytes``: the emptiest frame that could have had more, or the
    fullest that is over); ``worst_second`` a multiple of the target rate; ``ripple`` the p95 of the change of log2 λ
    between frames of a scene; ``settle`` in frames; ``lost`` dB of mean PSNR-Y and ``lost_pooled`` of the PSNR of the
    mean error, against the best constant λ of the same bytes; ``spread`` the deviation of PSNR-Y over the frames in dB;
    ``time`` a multiple of one pass at constant λ, in processor time; ``unreachable`` the share of frames that have more
    bits than the target rate at the lowest λ, or fewer at the highest; ``weights`` the identity of those it is of.
    """

    content: str
    mode: str
    target: float
    frames: int
    outcome: str = "done"
    error: float | None = None
    underflows: int | None = None
    worst_second: float | None = None
    ripple: float | None = None
    settle: int | None = None
    lost: float | None = None
    lost_pooled: float | None = None
    spread: float | None = None
    time: float | None = None
    unreachable: float = 0.0
    misses: list[str] = field(default_factory=list)
    weights: str = ""


class ClipBench:
    """Everything that the cells of one clip share. ``path`` is the clip as a file."""

    def __init__(
        self, content: Content, path: Path, codec: FrameCodec, options: CodecOptions, truth: Truth
    ) -> None:
        self.content, self.path, self.codec, self.options, self.truth = content, path, codec, options, truth
        frames = content.frames
        self.timeline = Timeline.of(
            [frame.seconds for frame in frames], float(frames[-1].duration * frames[-1].time_base)
        )
        self._constant_seconds: dict[float, float] = {}

    def bits(self, target: float) -> float:
        """Bits of the whole clip at a target in bits per pixel."""
        return target * self.content.pixels * len(self.content.frames)

    def request(self, mode: str, target: float) -> RateRequest | None:
        """What the command line would be given; None where the clip is too short for it, or where no constant λ has
        so many bits and so neither PSNR nor λ of a zone is known."""
        total, frames = self.bits(target), len(self.content.frames)
        rate = total / self.timeline.duration
        peak = {"maxrate": PEAK * rate, "bufsize": BUFFER * rate}
        # What container and times take, roughly: any size is a fair target.
        size = int(total / 8) + 3000 + 20 * frames
        if mode == "psnr":
            best = self.truth.best_constant(total)
            return None if best is None else RateRequest(psnr=round(best[1], 2))
        if mode == "zones":
            best = self.truth.best_constant(total)
            if best is None or frames < ZONED:
                return None
            half = max(self.codec.lam(best[0]) / 2, self.codec.lam(self.truth.ends[0]))
            zones = Zone(0, frames // 10 - 1, "lam", half), Zone(frames // 4, frames // 2 - 1, "factor", 2.0)
            return RateRequest(bitrate=rate, zones=zones)
        return {
            "two-pass": RateRequest(bitrate=rate),
            "one-pass": RateRequest(bitrate=rate, passes=1),
            "size": RateRequest(size=size),
            "peak": RateRequest(bitrate=rate, **peak),
            "peak-one-pass": RateRequest(bitrate=rate, passes=1, **peak),
            "frame-bytes": RateRequest(frame_bytes=round(total / 8 / frames)),
            "smooth-0.5": RateRequest(bitrate=rate, smooth=0.5),
            "smooth-1": RateRequest(bitrate=rate, smooth=1.0),
        }[mode]

    def constant_seconds(self, target: float) -> float:
        """Processor seconds of one pass at the constant λ nearest to a target."""
        if target not in self._constant_seconds:
            # Twice, the lesser: the first run of a size also pays for memory and kernels that later ones reuse.
            self._constant_seconds[target] = min(self._constant_again(target) for _ in range(2))
        return self._constant_seconds[target]

    def _constant_again(self, target: float) -> float:
        total = self.bits(target)
        best = self.truth.best_constant(total)
        low, high = self.truth.ends
        index = best[0] if best else high if self.truth.clip(high)[0] < total else low
        with tempfile.TemporaryDirectory() as folder:
            return self._compress(RateRequest(lam=self.codec.lam(index)), Path(folder) / "o.mkv")

    def _compress(self, request: RateRequest, out: Path) -> float:
        """Processor seconds of the job, loading the model left out. Raises what compress raises."""
        began = 0.0

        def listen(event: Event) -> None:
            nonlocal began
            if (
                isinstance(event, PhaseChanged)
                and event.phase in (Phase.ANALYSIS, Phase.ENCODE)
                and not began
            ):
                began = time.process_time()

        measure = request.psnr is not None
        job = CompressOptions(
            str(self.path), str(out), request, self.codec.name, codec_options=self.options, measure=measure
        )
        compress(job, listen)
        return time.process_time() - began

    def cell(self, mode: str, target: float) -> Cell:
        """Compress, read the file back, and fill a row."""
        content = self.content
        row = Cell(content.name, mode, target, len(content.frames))
        total = self.bits(target)
        row.unreachable = self._unreachable(total)
        request = self.request(mode, target)
        if request is None:
            row.outcome = "cannot be asked for"
            return row
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "o.mkv"
            constant = self.constant_seconds(target)
            try:
                seconds = self._compress(request, out)
                if mode == "two-pass":
                    for _ in range(TURNS - 1):
                        constant = min(constant, self._constant_again(target))
                        seconds = min(seconds, self._compress(request, out))
            except TargetError as error:
                row.outcome = f"refused: {error}"
                if not self._refusal_is_true(request, total):
                    row.misses.append("refused, but it can be had")
                return row
            row.time = seconds / constant
            self._read(row, request, out)
        return row

    def _unreachable(self, total: float) -> float:
        durations = np.array(self.timeline.gaps)
        wanted = total * durations / durations.sum()
        low, high = (np.array(self.truth.bits(index)) for index in self.truth.ends)
        return float(np.mean((low > wanted) | (high < wanted)))

    def _refusal_is_true(self, request: RateRequest, total: float) -> bool:
        """Whether the clip really cannot have the target (and, with a peak limit, not even at the lowest λ)."""
        low, high = self._lowest(request), self.truth.bits(self.truth.ends[1])
        if request.size is not None:
            # Container and times are at most so much.
            return sum(low) > total or sum(high) < total * 0.98
        if request.frame_bytes is not None:
            return max(low) > 8 * request.frame_bytes
        if request.maxrate is not None and request.bufsize is not None:
            sizes = [bits // 8 for bits in low]
            if leaky_bucket(sizes, self.timeline.seconds, request.maxrate, request.bufsize):
                return True
        return sum(low) > 0.99 * total or sum(high) < 1.01 * total

    def _lowest(self, request: RateRequest) -> list[int]:
        """Bits of every frame at the lowest λ that zones leave it."""
        low = self.truth.bits(self.truth.ends[0])
        scale = RateScale.of(self.codec.rate_indices, self.codec.lam)
        for zone in request.zones:
            lam = zone.value if zone.kind == "lam" else zone.value * scale.lams[0]
            for frame in range(zone.start, (zone.end or 0) + 1):
                low[frame] = self.truth.frame(frame, scale.index_of(lam))[0]
        return low

    def _read(self, row: Cell, request: RateRequest, out: Path) -> None:
        """Fill the row from the written file and from what each of its frames is known to be."""
        with StreamReader(out) as reader:
            coded = list(reader)
            base = reader.info.time_base
        indices = [one.unwrap().rate_index for one in coded]
        sizes = [one.size for one in coded]
        times = [float(one.pts * base) for one in coded]
        pooled = self.truth.mean_error(indices)
        known = [self.truth.frame(frame, index) for frame, index in enumerate(indices)]
        if len(coded) != len(self.content.frames):
            row.misses.append(f"{len(coded)} frames in the file")
        if [bits // 8 for bits, _ in known] != sizes:
            row.misses.append("other bytes than the same frames coded alone")
        decibels = [psnr for _, psnr in known]
        bits = 8 * sum(sizes)
        row.error = self._error(request, bits, out.stat().st_size, sizes, indices, decibels)
        if request.maxrate is not None and request.bufsize is not None:
            row.underflows = len(leaky_bucket(sizes, times, request.maxrate, request.bufsize))
        rate = self.bits(row.target) / self.timeline.duration
        row.worst_second = _worst_second(sizes, times, self.timeline.duration) / rate
        logs = np.log2([self.codec.lam(index) for index in indices])
        if request.zones:
            row.misses += self._zones_missed(request.zones, indices, logs)
        scenes = [range(a, b) for a, b in itertools.pairwise([0, *self.content.cuts, len(indices)])]
        steps = [abs(logs[i] - logs[i - 1]) for scene in scenes for i in scene[1:]]
        row.ripple = float(np.percentile(steps, 95)) if steps else 0.0
        row.settle = max((_settling(logs[scene.start : scene.stop]) for scene in scenes[1:]), default=0)
        best = self.truth.best_constant(bits)
        if best is not None:
            row.lost = best[1] - float(np.mean(decibels))
            row.lost_pooled = best[2] - pooled
        row.spread = float(np.std(decibels))

    def _zones_missed(self, zones: tuple[Zone, ...], indices: list[int], logs: np.ndarray) -> list[str]:
        """The frames of the first zone have its λ; at both edges of the second λ is twice that of the frame outside.

        The mean over the zone is no measure: what packets teach moves the clip's λ meanwhile.
        """
        fixed, factor = (slice(zone.start, (zone.end or 0) + 1) for zone in zones)
        distance = [abs(math.log(self.codec.lam(index) / zones[0].value)) for index in set(indices[fixed])]
        step = math.log(self.codec.lam(1) / self.codec.lam(0))
        misses = ["the λ of a zone"] if max(distance) > step else []
        free = max(indices[factor]) < self.truth.ends[1] and min(indices[fixed.stop :]) > self.truth.ends[0]
        edges = (logs[factor.start] - logs[factor.start - 1], logs[factor.stop - 1] - logs[factor.stop])
        if free and max(abs(edge - 1) for edge in edges) > ZONE_TOLERANCE:
            misses.append(
                f"at a zone's edges λ goes to {2 ** edges[0]:.2f} and {2 ** edges[1]:.2f} times, not 2"
            )
        return misses

    def _could_have_more(self, frame: int, index: int, limit: int) -> bool:
        """Whether a frame keeps a limit of bytes at the next index too."""
        return index < self.truth.ends[1] and self.truth.frame(frame, index + 1)[0] <= 8 * limit

    def _error(
        self,
        request: RateRequest,
        bits: int,
        file_bytes: int,
        sizes: list[int],
        indices: list[int],
        decibels: list[float],
    ) -> float:
        if request.psnr is not None:
            return float(np.mean(decibels)) - request.psnr
        if request.size is not None:
            return 100 * (file_bytes / request.size - 1)
        if request.frame_bytes is not None:
            over = max(sizes) / request.frame_bytes - 1
            if over > 0:
                return 100 * over
            emptiest = sorted(range(len(sizes)), key=sizes.__getitem__)
            free = (sizes[k] for k in emptiest if self._could_have_more(k, indices[k], request.frame_bytes))
            return 100 * (next(free, request.frame_bytes) / request.frame_bytes - 1)
        assert request.bitrate is not None
        return 100 * (bits / self.timeline.duration / request.bitrate - 1)


def _worst_second(sizes: list[int], times: list[float], duration: float) -> float:
    """Most bits shown in any second that starts with a frame; a shorter clip's mean rate."""
    if duration <= 1:
        return 8 * sum(sizes) / duration
    sums = np.concatenate(([0], np.cumsum(sizes)))
    ends = np.searchsorted(times, np.array(times) + 1 - 1e-9)
    return float(8 * max(sums[end] - sums[start] for start, end in enumerate(ends)))


def _settling(logs: np.ndarray) -> int:
    """Frames of a scene until log2 λ stays near the scene's median."""
    off = [frame for frame, value in enumerate(logs) if not abs(value - median(logs)) <= SETTLED]
    return off[-1] + 1 if off else 0


def starved(row: Cell) -> bool:
    """One pass over a clip of which many frames cannot have the target rate at any index, and nobody knows before."""
    return row.mode.endswith("one-pass") and row.unreachable >= STARVED


def judge(row: Cell) -> list[str]:
    """The promises of DESIGN ("Rate control") and issue 5 that a row breaks, in words."""
    misses = list(row.misses)
    if row.outcome != "done" or row.error is None:
        return misses
    # 95 % filled to the byte is not less than 95 %.
    error, mode = round(row.error, 9), row.mode
    live = mode == "one-pass" and not starved(row)
    lost, spent, settle = row.lost or 0.0, row.time or 0.0, row.settle or 0
    broken = [
        (mode in ("two-pass", "zones") and row.frames >= 10 and abs(error) > 1, f"error {error:+.2f} %"),
        (mode == "two-pass" and row.frames >= 10 and lost > 0.03, f"{lost:.3f} dB lost"),
        (mode == "two-pass" and row.frames >= 100 and spent > 1.6, f"{spent:.2f} × one pass"),
        (live and row.frames >= 250 and abs(error) > 4, f"error {error:+.2f} %"),
        (live and settle > 2, f"{settle} frames to settle"),
        (mode in ("size", "frame-bytes") and error > 0, f"over by {error:.2f} %"),
        (mode == "size" and error < -2, f"{100 + error:.1f} % used"),
        (mode == "frame-bytes" and error < -5, f"{100 + error:.1f} % filled"),
        (mode == "psnr" and abs(error) > 0.1, f"{error:+.3f} dB"),
        (bool(row.underflows), f"{row.underflows} underflows"),
    ]
    return misses + [words for is_broken, words in broken if is_broken]


def finite(value: float | None) -> float | None:
    """For JSON, which has no NaN."""
    return value if value is not None and math.isfinite(value) else None
