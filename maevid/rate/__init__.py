"""Rate control: which rate index every frame gets so that the clip meets a target. It knows numbers only."""

from maevid.rate.buffer import BufferModel, Peak
from maevid.rate.control import RateController, RateResult, Retry
from maevid.rate.factory import make_controller
from maevid.rate.model import FrameCost, sample_frames, trial_indices
from maevid.rate.parsing import Zone, format_rate, format_size, parse_rate, parse_size, parse_zone
from maevid.rate.predict import Prediction, predict
from maevid.rate.request import RateRequest
from maevid.rate.scale import RateScale
from maevid.rate.statistics import FrameStatistics, LumaAnalyser, find_cuts, is_cut, is_fade
from maevid.rate.store import Statistics, StatisticsKey, read_statistics, write_statistics
from maevid.rate.timeline import Timeline
from maevid.rate.verify import Underflow, leaky_bucket

__all__ = [
    "BufferModel",
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
    "Statistics",
    "StatisticsKey",
    "Timeline",
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
    "read_statistics",
    "sample_frames",
    "trial_indices",
    "write_statistics",
]
