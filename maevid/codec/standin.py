"""A codec that stands for another one, and asks it for all that a subclass does not answer itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maevid.codec.interface import Encoded, FrameCodec
from maevid.stream.packet import Packet
from maevid.video.frame import Frame, Plane


class StandIn(FrameCodec):
    """``codec``, with its name and identity; frames are encoded by :meth:`encode_batch` alone."""

    def __init__(self, codec: FrameCodec) -> None:
        self._codec = codec
        self.name, self.identity, self.sha256 = codec.name, codec.identity, codec.sha256
        self.rate_indices, self.latents_checked = codec.rate_indices, codec.latents_checked
        self.description, self.batch_size = codec.description, codec.batch_size

    def lanes(self, samples: int) -> int:
        """The codec's own."""
        return self._codec.lanes(samples)

    def lam(self, rate_index: int) -> float:
        """The codec's own."""
        return self._codec.lam(rate_index)

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """One frame as :meth:`encode_batch` does it."""
        return self.encode_batch([frame], [rate_index], reconstruct=reconstruct)[0]

    def encode_batch(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], *, reconstruct: bool = False
    ) -> list[Encoded]:
        """As the codec does."""
        return self._codec.encode_batch(frames, rate_indices, reconstruct=reconstruct)

    def decode(self, packet: Packet) -> tuple[Plane, Plane, Plane]:
        """As the codec does."""
        return self._codec.decode(packet)

    def check(self, packet: Packet) -> None:
        """As the codec does."""
        self._codec.check(packet)

    def block_bits(self, packet: Packet) -> npt.NDArray[np.float64] | None:
        """As the codec does."""
        return self._codec.block_bits(packet)

    def estimate_bits(self, frames: Sequence[Frame], rate_indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """As the codec does."""
        return self._codec.estimate_bits(frames, rate_indices)
