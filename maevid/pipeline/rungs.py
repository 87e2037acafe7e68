"""After the first pass over a clip whose frames are all alike: the picture coded at the rate indices near the level."""

from __future__ import annotations

from maevid.codec.interface import FrameCodec
from maevid.pipeline.beside import HEADER_BYTES, bytes_beside
from maevid.pipeline.frame_loop import BATCH_SAMPLES
from maevid.pipeline.measure import measured
from maevid.rate import FirstPass, RateRequest, RateScale
from maevid.rate.factory import make_plan, planned_level
from maevid.rate.rungs import FEW, REACH, alike, lower_hull, with_rungs
from maevid.video.frame import Frame


def find_rungs(
    codec: FrameCodec, request: RateRequest, scale: RateScale, found: FirstPass, frame: Frame
) -> None:
    """Give ``found`` the rungs for a request, where its frames are alike; ``frame`` is the first of them."""
    if len(found.seconds) < FEW or not request.takes_rungs or not alike(found.costs):
        return
    plan = make_plan(request, scale, timeline=found.timeline, costs=found.costs, cuts=found.cuts)
    level = round(planned_level(request, plan, bytes_beside(request, found, HEADER_BYTES)))
    low, high = max(level - REACH, plan.bounds.lowest), min(level + REACH, plan.bounds.highest)
    points: dict[int, tuple[float, float]] = {}
    batch = max(1, BATCH_SAMPLES // frame.y.size)
    for start in range(low, high + 1, batch):
        indices = range(start, min(start + batch, high + 1))
        coded = codec.encode_batch([frame] * len(indices), indices, reconstruct=True)
        for index, encoded in zip(indices, coded, strict=True):
            points[index] = 8.0 * len(encoded.packet.to_bytes()), measured(frame, encoded).psnr["y"]
    found.rungs = list(lower_hull(points))
    found.costs = with_rungs(found.costs, points, found.rungs)
