"""From a request to the controller that fulfils it."""

from __future__ import annotations

from collections.abc import Sequence

from maevid.errors import UsageError
from maevid.rate.budget import BudgetController
from maevid.rate.buffer import Peak
from maevid.rate.control import ConstantController, RateController
from maevid.rate.costs import FrameCost
from maevid.rate.decibels import PsnrController
from maevid.rate.framelimit import FrameLimitController
from maevid.rate.live import LiveController
from maevid.rate.plan import Plan
from maevid.rate.planned import PlannedController
from maevid.rate.request import DEFAULT_QUALITY, RateRequest
from maevid.rate.scale import RateScale
from maevid.rate.shape import Bounds
from maevid.rate.timeline import Timeline


def make_controller(
    request: RateRequest,
    scale: RateScale,
    *,
    timeline: Timeline | None = None,
    costs: Sequence[FrameCost] = (),
    cuts: Sequence[int] = (),
    rungs: Sequence[int] = (),
    overhead_bytes: float = 0.0,
) -> RateController:
    """The controller for a request.

    Two-pass requests (``request.two_pass``) need ``timeline`` and ``costs`` from the first pass (all frames
    or a sample), ``cuts`` help where it is a sample, ``rungs`` where all frames are alike. ``overhead_bytes``
    is what the file holds besides packets (audio, container); it counts for ``--size`` only. Raises UsageError
    for a senseless request, TargetError for a target out of reach (unless ``best_effort``), ValueError when
    the first pass is missing.
    """
    request.validate()
    bounds = Bounds(request, scale)
    peak = peak_of(request)
    if not request.two_pass:
        return _one_pass(request, bounds, peak)
    plan = make_plan(request, scale, timeline=timeline, costs=costs, cuts=cuts, rungs=rungs)
    if request.bitrate is not None:
        return BudgetController(
            plan,
            request.bitrate * plan.timeline.duration,
            unit="bit/s",
            target=request.bitrate,
            best_effort=request.best_effort,
        )
    if request.size is not None:
        budget = 8 * (request.size - overhead_bytes)
        if budget <= 0:
            raise UsageError(
                f"--size {request.size} leaves nothing for the video: audio and container alone take "
                f"{overhead_bytes:.0f} bytes"
            )
        return BudgetController(
            plan,
            budget,
            unit="bytes",
            target=request.size,
            overhead_bits=8 * overhead_bytes,
            hard=True,
            best_effort=request.best_effort,
        )
    if request.psnr is not None:
        return PsnrController(plan, request.psnr, best_effort=request.best_effort)
    return PlannedController(plan, _constant_index(request, bounds), best_effort=request.best_effort)


def make_plan(
    request: RateRequest,
    scale: RateScale,
    *,
    timeline: Timeline | None,
    costs: Sequence[FrameCost],
    cuts: Sequence[int] = (),
    rungs: Sequence[int] = (),
) -> Plan:
    """What the first pass found, with zones, bounds, peak limit and smoothing of a request."""
    if timeline is None or not costs:
        raise ValueError("two-pass control needs the timeline and the costs of the first pass")
    usable = rungs if request.takes_rungs else ()
    plan = Plan(costs, timeline, Bounds(request, scale), peak=peak_of(request), cuts=cuts, rungs=usable)
    if request.smooth:
        level = planned_level(request, plan)
        plan.shape.smooth(plan.psnr(level), request.smooth)
    return plan


def planned_level(request: RateRequest, plan: Plan, overhead_bytes: float = 0.0) -> float:
    """The common level that a plan gives a request; ``overhead_bytes`` as for :func:`make_controller`."""
    if request.bitrate is not None:
        return plan.solve_bits(request.bitrate * plan.timeline.duration)
    if request.size is not None:
        return plan.solve_bits(8.0 * (request.size - overhead_bytes))
    if request.psnr is not None:
        return plan.solve_psnr(request.psnr)
    return float(_constant_index(request, plan.bounds))


def peak_of(request: RateRequest) -> Peak | None:
    """The peak limit of a request."""
    if request.maxrate is None or request.buffer_bits is None:
        return None
    return Peak(request.maxrate, request.buffer_bits)


def _one_pass(request: RateRequest, bounds: Bounds, peak: Peak | None) -> RateController:
    if request.bitrate is not None:
        return LiveController(bounds, request.bitrate, peak, best_effort=request.best_effort)
    if request.frame_bytes is not None:
        return FrameLimitController(bounds, request.frame_bytes, peak, best_effort=request.best_effort)
    return ConstantController(bounds, _constant_index(request, bounds), peak, best_effort=request.best_effort)


def _constant_index(request: RateRequest, bounds: Bounds) -> int:
    if request.lam is not None:
        ends = bounds.scale.lams[0], bounds.scale.lams[-1]
        if not ends[0] * 0.999 <= request.lam <= ends[1] * 1.001:
            raise UsageError(f"--lam {request.lam:g}: this codec has λ from {ends[0]:.4g} to {ends[1]:.4g}")
        return int(bounds.clip(bounds.scale.index_of(request.lam)))
    quality = DEFAULT_QUALITY if request.quality is None else request.quality
    return int(bounds.clip(bounds.scale.quality_index(quality)))
