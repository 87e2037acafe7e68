"""Sessions without an encoder: seeded numbers that look like a real encode, in a real thread."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

import numpy as np

from maevid.errors import DamagedError
from maevid.pipeline.events import (
    BesideVideo,
    PauseChanged,
    Phase,
    PhaseChanged,
    Planes,
    Preview,
    Progress,
    RdCurve,
    TargetChanged,
    Totals,
)
from maevid.report import FrameReport
from maevid.tui.session import FactGroup, FramePicture, Publisher

WIDTH, HEIGHT = 640, 360
RATE = 25


def numbers(
    frames: int, target: float | None = 2e6, seed: int = 3, psnr: bool = True, buffer: bool = True
) -> Iterator[FrameReport]:
    """Reports of a clip with cuts, easy and hard scenes and a controller that finds its λ."""
    random = Random(seed)
    fullness, hard, level = 0.6, 1.0, 0.0
    next_cut, shift = 40, 0.0
    goal = (target or 2e6) / RATE
    for index in range(frames):
        cut = index == next_cut
        if cut:
            next_cut += int(random.randrange(30, 110))
            hard, level = math.exp(random.gauss(0, 0.35)), random.gauss(0, 1.2)
        shift = 0.85 * shift - 0.15 * math.log(hard) + random.gauss(0, 0.01)
        noise = math.exp(random.gauss(0, 0.05))
        bits = int(goal * hard * noise * math.exp(0.9 * shift) * (1.25 if cut else 1.0))
        lam = 0.012 * math.exp(shift)
        dB = 36.5 + level + 1.6 * shift - 2.2 * math.log(hard) + random.gauss(0, 0.12)
        fullness = min(max(fullness + (goal - bits) / (goal * RATE), -0.02), 1.0)
        latent = int(bits * 0.955)
        yield FrameReport(
            index=index,
            pts=index * 512,
            seconds=index / RATE,
            duration=1 / RATE,
            width=WIDTH,
            height=HEIGHT,
            rate_index=min(max(int(120 + 40 * shift), 0), 255),
            lam=round(lam, 6),
            bits=bits,
            parts={"header": 256, "hyper": bits - latent - 256, "latent": latent},
            psnr={"y": round(dB, 3), "u": round(dB + 3.4, 3), "v": round(dB + 4.1, 3)} if psnr else {},
            stage_seconds={
                name: round(ms / 1000 * random.uniform(0.85, 1.15), 6)
                for name, ms in (
                    ("decode", 1.1),
                    ("analysis", 8.9),
                    ("entropy", 2.4),
                    ("synthesis", 9.6),
                    ("mux", 0.1),
                )
            },
            buffer=round(fullness, 4) if buffer else None,
            scene_cut=cut,
        )


@cache
def many() -> tuple[FrameReport, ...]:
    """60,000 frames, made once: twenty times the same 3,000, one after the other."""
    names = [name for name in FrameReport.__slots__ if name not in ("index", "pts", "seconds")]
    fields = [{name: getattr(report, name) for name in names} for report in numbers(3_000, seed=1)]
    return tuple(
        FrameReport(index=index, pts=index * 512, seconds=index / RATE, **fields[index % 3_000])
        for index in range(60_000)
    )


def pictures(index: int, width: int = 320, height: int = 180) -> tuple[Planes, Planes]:
    """A moving test picture, made of integers only, before and after a coarse quantiser."""
    rows, columns = np.mgrid[0:height, 0:width]
    tiles = (columns // 40 + rows // 30 + index // 10) % 2
    y = 40 + (columns * 3 // 4 + rows // 2 + 4 * index) % 150 + 30 * tiles
    half_rows, half_columns = rows[::2, ::2], columns[::2, ::2]
    u, v = 64 + (half_columns // 2 + 3 * index) % 128, 64 + half_rows // 2 + (half_columns // 8) % 40
    step = np.where(columns > width // 2, 16, 6)
    source = (y.astype(np.uint8), u.astype(np.uint8), v.astype(np.uint8))
    return source, ((y // step * step + step // 2).astype(np.uint8), source[1], source[2])


BESIDE = 190_000
CURVE = RdCurve((0.05, 0.12, 0.3, 0.6, 1.1), (31.0, 33.6, 36.4, 38.7, 41.0))


class SimulatedEncode:
    """An encode of ``frames`` frames that takes ``pace`` seconds a frame and keeps the protocol's promises."""

    def __init__(
        self,
        frames: int = 300,
        pace: float = 0.0,
        target: float | None = 2e6,
        fail_at: int | None = None,
        hold_at: int | None = None,
        psnr: bool = True,
        names: tuple[str, str] = ("park_run.mp4", "park_run.mkv"),
        source: Sequence[tuple[Planes, Planes]] | None = None,
    ) -> None:
        self.frames = frames
        self.pace = pace
        self.target = target
        self.fail_at = fail_at
        self.hold_at = hold_at
        self.psnr = psnr
        self.names = names
        self.source = source
        self.released = threading.Event()
        self.log: list[str] = []
        self.written = 0
        self.outcome: Phase | None = None
        self._go = threading.Event()
        self._go.set()
        self._finish = self._abort = False
        self._new_target: float | None = None
        self._thread: threading.Thread | None = None

    def start(self, publisher: Publisher) -> None:
        self._thread = threading.Thread(target=self._run, args=(publisher,), daemon=True)
        self._thread.start()

    def pause(self) -> None:
        self.log.append("pause")
        self._go.clear()

    def resume(self) -> None:
        self.log.append("resume")
        self._go.set()

    def set_target(self, bitrate: float) -> None:
        self.log.append(f"target {bitrate:.0f}")
        self._new_target = bitrate

    def finish_early(self) -> None:
        self.log.append("finish")
        self._finish = True
        self._go.set()
        self.released.set()

    def abort(self) -> None:
        self.log.append("abort")
        self._abort = True
        self._go.set()
        self.released.set()

    def wait(self, timeout: float | None = None) -> bool:
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is not None and not self._thread.is_alive()

    def _run(self, publisher: Publisher) -> None:
        publisher.publish(
            Totals(
                *self.names,
                self.frames,
                self.frames / RATE,
                WIDTH,
                HEIGHT,
                self.target,
                "mae",
                "cpu, 2 threads",
                "bfloat16",
            )
        )
        publisher.publish(PhaseChanged(Phase.ANALYSIS, 1, 2))
        for done in range(1, self.frames + 1):
            if self._abort:
                break
            if self.pace:
                threading.Event().wait(self.pace / 20)
            publisher.publish(Progress(done))
        publisher.publish(CURVE)
        publisher.publish(BesideVideo(BESIDE, whole=True))
        publisher.publish(PhaseChanged(Phase.ENCODE, 2, 2))
        scale = 1.0
        for report in numbers(self.frames, self.target, psnr=self.psnr):
            if report.index == self.hold_at:
                self.released.wait()
            if not self._go.is_set():
                publisher.publish(PauseChanged(True))
                self._go.wait()
                publisher.publish(PauseChanged(False))
            if self._abort or self._finish:
                break
            if report.index == self.fail_at:
                self._end(publisher, Phase.FAILED, "park_run.mp4: frame 57 cannot be decoded")
                return
            if self._new_target is not None and self.target:
                scale *= self._new_target / self.target
                self.target, self._new_target = self._new_target, None
                publisher.publish(TargetChanged(self.target))
            self._frame(publisher, report, scale)
        if self._abort:
            self.written = 0
            self._end(publisher, Phase.ABORTED, "")
        else:
            self._end(publisher, Phase.DONE, "target 2.00 Mb/s, result 1.99 Mb/s, error −0.41 %")

    def _frame(self, publisher: Publisher, report: FrameReport, scale: float) -> None:
        if self.pace:
            threading.Event().wait(self.pace)
        fields = {name: getattr(report, name) for name in FrameReport.__slots__}
        publisher.publish(FrameReport(**{**fields, "bits": int(report.bits * scale)}))
        self.written += 1
        if publisher.wants_preview():
            stock = self.source
            publisher.publish(
                Preview(
                    report.index, *(stock[report.index % len(stock)] if stock else pictures(report.index))
                )
            )

    def _end(self, publisher: Publisher, phase: Phase, detail: str) -> None:
        self.outcome = phase
        publisher.publish(PhaseChanged(phase, 2, 2, detail))


class SimulatedFile:
    """A finished file of ``frames`` frames: pictures, block maps, facts, and one damaged packet."""

    def __init__(
        self,
        frames: int = 300,
        psnr: bool = True,
        reports: Sequence[FrameReport] | None = None,
        source: Sequence[tuple[Planes, Planes]] | None = None,
        broken: int | None = 17,
    ) -> None:
        self.reports = list(reports) if reports is not None else list(numbers(frames, psnr=psnr))
        self.psnr = psnr
        self.source = source
        self.broken = broken
        self.closed = 0
        self.asked: list[int] = []
        self.name = "park_run.mkv"
        self.target_bitrate: float | None = 2e6
        self.checkable = True

    def facts(self) -> list[FactGroup]:
        return [
            FactGroup(
                "Stream",
                (
                    ("codec", "V_MAEVID/INTRA"),
                    ("picture", "640×360 yuv420p, bt709"),
                    ("time base", "1/12800"),
                ),
            ),
            FactGroup("Weights", (("model", "mae"), ("SHA-256", "5d1f0c77…"), ("parameters", "3.1 M"))),
            FactGroup("Tags", (("TITLE", "Park run"), ("ENCODER", "maevid 0.1.0"))),
        ]

    def check(self, index: int) -> str:
        return "CRC-32 differs" if index == self.broken else ""

    def picture(self, index: int) -> FramePicture:
        self.asked.append(index)
        if index == self.broken:
            raise DamagedError(f"frame {index}: CRC-32 differs, the packet is damaged")
        source, coded = self.source[index % len(self.source)] if self.source else pictures(index)
        return FramePicture(coded, source if self.psnr else None)

    def block_bits(self, index: int) -> np.ndarray:
        y = self.picture(index).coded[0].astype(float)
        rows, columns = -(-HEIGHT // 16), -(-WIDTH // 16)
        step_y, step_x = y.shape[0] / rows, y.shape[1] / columns
        energy = np.array(
            [
                [
                    y[
                        int(r * step_y) : int((r + 1) * step_y) + 1,
                        int(c * step_x) : int((c + 1) * step_x) + 1,
                    ].std()
                    for c in range(columns)
                ]
                for r in range(rows)
            ]
        )
        return np.asarray(energy**1.3 / (energy**1.3).sum() * self.reports[index].bits * 0.955)

    def close(self) -> None:
        self.closed += 1
