"""A codec whose work is done elsewhere: each call is answered from what workers have coded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from maevid.cluster.desk import Desk
from maevid.cluster.worker import Order
from maevid.codec.interface import Encoded, FrameCodec
from maevid.stream.packet import Packet
from maevid.video.frame import Frame, Plane


class ClusterCodec(FrameCodec):
    """Stands for ``codec``, which is open here too and decodes; ``description`` tells who codes."""

    def __init__(self, codec: FrameCodec, desk: Desk, description: str) -> None:
        self._codec, self._desk = codec, desk
        self.name, self.identity, self.sha256 = codec.name, codec.identity, codec.sha256
        self.rate_indices, self.latents_checked = codec.rate_indices, codec.latents_checked
        self.batch_size, self.description = codec.batch_size, description

    def lam(self, rate_index: int) -> float:
        """The codec's own."""
        return self._codec.lam(rate_index)

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """What a worker makes of a frame. Raises MaevidError where none can."""
        return self.encode_batch([frame], [rate_index], reconstruct=reconstruct)[0]

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

    def decode(self, packet: Packet) -> tuple[Plane, Plane, Plane]:
        """Decode here."""
        return self._codec.decode(packet)

    def check(self, packet: Packet) -> None:
        """Check here."""
        self._codec.check(packet)

    def block_bits(self, packet: Packet) -> npt.NDArray[np.float64] | None:
        """Reckon here."""
        return self._codec.block_bits(packet)
