"""What a command would do, from a first pass over sampled frames: size, PSNR and time (``--dry-run``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maevid.rate.costs import FrameCost
from maevid.rate.factory import make_controller, make_plan, planned_level
from maevid.rate.parsing import format_rate, format_size
from maevid.rate.request import RateRequest
from maevid.rate.scale import RateScale
from maevid.rate.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Prediction:
    """Bytes of the file (``overhead`` included), bit rate of the packets, mean λ position, PSNR-Y, seconds
    of work.

    ``lowest_rate`` and ``highest_rate`` are what the clip can have, in bit/s. ``psnr`` is None where the
    first pass did not measure it.
    """

    size: float
    bitrate: float
    lam: float
    psnr: float | None
    seconds: float
    lowest_rate: float
    highest_rate: float

    def line(self) -> str:
        """One line for people."""
        quality = "" if self.psnr is None else f", PSNR-Y {self.psnr:.2f} dB"
        return (
            f"predicted: {format_size(self.size)}, {format_rate(self.bitrate)}, λ {self.lam:.4g}{quality}, "
            f"{self.seconds:.0f} s of work; reachable: {format_rate(self.lowest_rate)} to "
            f"{format_rate(self.highest_rate)}"
        )


def predict(
    request: RateRequest,
    scale: RateScale,
    *,
    timeline: Timeline,
    costs: Sequence[FrameCost],
    cuts: Sequence[int] = (),
    overhead_bytes: float = 0.0,
    seconds_per_frame: float = 0.0,
) -> Prediction:
    """Predict a two-pass, constant-λ or one-pass bit rate request from (sampled) costs.

    ``seconds_per_frame`` is the time that coding one frame takes. A frame limit is predicted by coding no
    frame: every frame takes 97.5 % of the limit, or what the highest index gives. Raises as
    :func:`make_controller` does.
    """
    if request.two_pass:
        make_controller(
            request, scale, timeline=timeline, costs=costs, cuts=cuts, overhead_bytes=overhead_bytes
        )
    request.validate()
    plan = make_plan(request, scale, timeline=timeline, costs=costs, cuts=cuts)
    level = planned_level(request, plan, overhead_bytes)
    bits = plan.total(level)
    if request.frame_bytes is not None:
        highest = plan.bits(plan.bounds.highest)
        bits = float(highest.clip(max=8 * 0.975 * request.frame_bytes).sum())
        level = plan.solve_bits(bits)
    low, high = plan.reach()
    duration = timeline.duration
    return Prediction(
        size=bits / 8 + overhead_bytes,
        bitrate=bits / duration,
        lam=scale.lam(level),
        psnr=float(plan.psnr(level).mean()) if plan.model.has_psnr else None,
        seconds=seconds_per_frame * len(timeline),
        lowest_rate=low / duration,
        highest_rate=high / duration,
    )
