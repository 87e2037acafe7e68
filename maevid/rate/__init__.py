"""Rate control: which rate index every frame gets so that the clip meets a target. It knows numbers only.

The pipeline drives every mode by the same loop; here with a made-up codec whose frames
have (3000 + 20 n)·√λ bits:

>>> from maevid.rate import FrameCost, RateRequest, RateScale, Timeline, make_controller, trial_indices
>>> from maevid.report import FrameReport
>>> scale = RateScale.log_linear(0.001, 1.0)                        # the λ of the rate indices 0..255
>>> times = Timeline.of(i / 25 for i in range(100))                 # presentation times in seconds
>>> def bits_of(frame, index):
...     return round((3000 + 20 * frame) * scale.lam(index) ** 0.5)
>>> request = RateRequest(bitrate=30_000)
>>> trials = trial_indices(scale.lowest, scale.highest)             # first pass: at a few indices
>>> costs = [FrameCost(f, {i: bits_of(f, i) for i in trials}) for f in range(100)]
>>> controller = make_controller(request, scale, timeline=times, costs=costs)
>>> for frame in range(100):                                        # second pass
...     wanted = controller.probe(frame)                            # one-pass modes ask at times
...     if wanted:
...         controller.learn(FrameCost(frame, {i: bits_of(frame, i) for i in wanted}))
...     index = controller.next_index(frame)                        # several frames may be under way at once
...     while True:
...         report = FrameReport(frame, 0, times.seconds[frame], 1 / 25, 16, 16, index, scale.lam(index),
...                              bits=bits_of(frame, index))
...         retry = controller.observe(report)                      # in order; a Retry: code this frame again
...         if retry is None:
...             break
...         index = retry.rate_index
>>> print(controller.result().line())
target 30 kb/s, result 29.99 kb/s, error -0.02 %

Which inputs a request needs: ``request.two_pass`` a :class:`Timeline` and :class:`FrameCost` of all frames or
of :func:`sample_frames` (with PSNR where ``request.needs_psnr``); one-pass bit rates
:class:`FrameStatistics` of ``controller.lookahead`` frames from :class:`LumaAnalyser`,
and answers to probes; the rest nothing.
"""

from maevid.rate.buffer import BufferModel, Peak
from maevid.rate.control import RateController, RateResult, Retry
from maevid.rate.costs import FrameCost
from maevid.rate.factory import make_controller
from maevid.rate.model import sample_frames, trial_indices
from maevid.rate.parsing import Zone, format_rate, format_size, parse_rate, parse_size, parse_zone
from maevid.rate.predict import Prediction, predict
from maevid.rate.request import RateRequest
from maevid.rate.scale import RateScale
from maevid.rate.statistics import FrameStatistics, LumaAnalyser, SceneWatcher, find_cuts, is_cut, is_fade
from maevid.rate.store import (
    FirstPass,
    Statistics,
    StatisticsKey,
    StatisticsWriter,
    read_first_pass,
    read_statistics,
)
from maevid.rate.timeline import Timeline
from maevid.rate.trials import Trials
from maevid.rate.verify import Underflow, leaky_bucket

__all__ = [
    "BufferModel",
    "FirstPass",
    "FrameCost",
    "FrameStatistics",
    "LumaAnalyser",
    "Peak",
    "Prediction",
    "RateController",
    "RateRequest",
    "RateResult",
    "RateScale",
    "Retry",
    "SceneWatcher",
    "Statistics",
    "StatisticsKey",
    "StatisticsWriter",
    "Timeline",
    "Trials",
    "Underflow",
    "Zone",
    "find_cuts",
    "format_rate",
    "format_size",
    "is_cut",
    "is_fade",
    "leaky_bucket",
    "make_controller",
    "parse_rate",
    "parse_size",
    "parse_zone",
    "predict",
    "read_first_pass",
    "read_statistics",
    "sample_frames",
    "trial_indices",
]
