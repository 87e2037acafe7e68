"""What a compression would come to, from coding a sample of its frames at a few rates."""

from __future__ import annotations

import time

from maevid.codec.registry import open_codec
from maevid.pipeline.compress import CompressOptions, ignore
from maevid.pipeline.events import Control, Listener, Phase, PhaseChanged, Totals
from maevid.pipeline.first_pass import first_pass
from maevid.rate import Prediction, RateScale, Trials, predict
from maevid.stream.overhead import largest_overhead
from maevid.video.reader import VideoReader

_HEADER_BYTES = 2000
"""About what header and tags take; nothing is written that could be measured."""


def dry_run(
    options: CompressOptions, publish: Listener = ignore, control: Control | None = None
) -> Prediction:
    """Predict size, rate, PSNR and time of ``options`` without writing anything.

    Raises as :func:`~maevid.pipeline.compress.compress` does, TargetError for a target out of reach included.
    """
    codec = open_codec(options.codec, options.codec_options)
    scale = RateScale.of(codec.rate_indices, codec.lam)
    with VideoReader(options.input, stream=options.stream, max_pixels=options.max_pixels) as reader:
        publish(Totals(source=options.input, frames=reader.info.frames, codec=codec.name))
    publish(PhaseChanged(Phase.ANALYSIS))
    began = time.perf_counter()
    trials = Trials(scale.lowest, scale.highest)
    control = control or Control()
    found = first_pass(options.input, options.stream, codec, trials, publish, control, distortion=True)
    coded = sum(len(cost.bits) for cost in found.costs)
    overhead = largest_overhead(
        pictures=len(found.seconds),
        sound=found.sound_packets,
        other=found.other_packets,
        seconds=found.timeline.duration,
        file_bytes=options.request.size or 0,
        header_bytes=_HEADER_BYTES,
        own_durations=found.own_durations,
    )
    return predict(
        options.request,
        scale,
        timeline=found.timeline,
        costs=found.costs,
        cuts=found.cuts,
        overhead_bytes=_HEADER_BYTES + found.other_bytes + overhead,
        seconds_per_frame=(time.perf_counter() - began) / coded,
    )
