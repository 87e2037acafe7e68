"""What a compression would come to, from coding a sample of its frames at a few rates."""

from __future__ import annotations

import time

from maevid.codec.registry import open_codec
from maevid.pipeline.beside import HEADER_BYTES, bytes_beside
from maevid.pipeline.clip import Clip
from maevid.pipeline.compress import CompressOptions, ignore
from maevid.pipeline.events import Control, Listener, Phase, PhaseChanged, Totals
from maevid.pipeline.first_pass import first_pass
from maevid.rate import Prediction, RateScale, Trials, predict


def dry_run(
    options: CompressOptions, publish: Listener = ignore, control: Control | None = None
) -> Prediction:
    """Predict size, rate, PSNR and time of ``options`` without writing anything.

    Raises as :func:`~maevid.pipeline.compress.compress` does, TargetError for a target out of reach included.
    """
    codec = open_codec(options.codec, options.codec_options)
    scale = RateScale.of(codec.rate_indices, codec.lam)
    with Clip(options.input, stream=options.stream, max_pixels=options.max_pixels) as clip:
        publish(Totals(source=options.input, frames=clip.info.frames, codec=codec.name))
        publish(PhaseChanged(Phase.ANALYSIS))
        began = time.perf_counter()
        trials = Trials(scale.lowest, scale.highest)
        found = first_pass(clip, codec, trials, publish, control or Control(), distortion=True)
        spent = time.perf_counter() - began
    coded = sum(len(cost.bits) for cost in found.costs)
    return predict(
        options.request,
        scale,
        timeline=found.timeline,
        costs=found.costs,
        cuts=found.cuts,
        overhead_bytes=bytes_beside(options.request, found, HEADER_BYTES),
        seconds_per_frame=spent / coded,
    )
