"""A codec whose work is done elsewhere: each call is answered from what workers have coded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from maevid.cluster.desk import Desk
from maevid.cluster.worker import Order
from maevid.codec.interface import Encoded, FrameCodec
from maevid.codec.standin import StandIn
from maevid.video.frame import Frame


class ClusterCodec(StandIn):
    """Stands for ``codec``, which is open here too and decodes; ``description`` tells who codes."""

    def __init__(self, codec: FrameCodec, desk: Desk, description: str) -> None:
        super().__init__(codec)
        self._desk, self.description = desk, description

    def encode_batch(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], *, reconstruct: bool = False
    ) -> list[Encoded]:
        """What workers make of frames. Raises MaevidError where none can."""
        orders = [[Order(index, reconstruct)] for index in rate_indices]
        return [cast(Encoded, answer) for (answer,) in self._desk.take(frames, orders)]

    def estimate_bits(self, frames: Sequence[Frame], rate_indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """What workers estimate. Raises MaevidError where none can."""
        orders = [Order(index, estimate=True) for index in rate_indices]
        return np.array(self._desk.take(frames, [orders] * len(frames)), dtype=np.float64)
