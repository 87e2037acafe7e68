"""What a frame codec is: the contract between the pipeline and whatever turns frames into packets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maevid.errors import UsageError
from maevid.stream.packet import Packet
from maevid.video.frame import Frame, Plane

MOST_EFFORT = 100


@dataclass(frozen=True, slots=True)
class CodecOptions:
    """What a user may say about how a codec runs. A codec ignores what does not concern it.

    ``device``: ``auto``, ``cpu`` or ``cuda``; ``precision``: ``auto``, ``float32``, ``bfloat16`` or ``float16``;
    ``weights``: a model file in place of the codec's own. ``effort``: rounds in which a frame's packet is made smaller,
    0 to :data:`MOST_EFFORT`, as far as the codec knows how. Raises UsageError for an effort outside that.
    """

    device: str = "auto"
    precision: str = "auto"
    weights: Path | None = None
    effort: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.effort <= MOST_EFFORT:
            raise UsageError(f"effort (--effort) goes from 0 to {MOST_EFFORT}, not {self.effort}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A coded frame: its packet, the decoder's picture when asked for, and where bits and time went.

    ``parts`` names the packet's parts and gives their bits; ``stage_seconds`` is wall time by stage. ``psnr`` in dB by
    plane is there where it is known already, and then nobody measures it again.
    """

    packet: Packet
    reconstruction: tuple[Plane, Plane, Plane] | None = None
    parts: Mapping[str, int] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    psnr: Mapping[str, float] = field(default_factory=dict)


class FrameCodec(ABC):
    """Codes every frame on its own at one of a range of rate indices (a larger index spends more bits).

    ``name`` is what ``--codec`` selects. ``identity`` is four bytes that name the exact decoder needed
    (codec and weights); it stands in every packet; ``sha256`` is all of it, for the file's tags.
    ``latents_checked`` says whether packets carry a latent check. ``description`` tells a user how the codec
    runs (device, precision). ``batch_size`` is how many frames it likes to get at once.
    """

    name: str
    identity: bytes
    sha256: str = ""
    rate_indices: range
    latents_checked: bool = False
    description: str = ""
    batch_size: int = 1

    def lanes(self, samples: int) -> int:
        """How many pictures of so many luma samples :meth:`decode` likes to be called for at once, in threads.

        1, the default: one after the other.
        """
        return 1

    @abstractmethod
    def lam(self, rate_index: int) -> float:
        """The λ that a rate index stands for; strictly increasing in the index."""

    @abstractmethod
    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """Code one frame. Raises ValueError for a rate index outside ``rate_indices``."""

    @abstractmethod
    def decode(self, packet: Packet) -> tuple[Plane, Plane, Plane]:
        """Rebuild the planes. Raises DamagedError or ModelError; never anything else for a bad packet."""

    def check(self, packet: Packet) -> None:
        """Verify what can be verified without rebuilding the picture. Raises as :meth:`decode` does."""
        self.decode(packet)

    def encode_batch(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], *, reconstruct: bool = False
    ) -> list[Encoded]:
        """Code several frames of one size; same bytes as one call of :meth:`encode` for each."""
        return [
            self.encode(frame, index, reconstruct=reconstruct)
            for frame, index in zip(frames, rate_indices, strict=True)
        ]

    def decode_batch(self, packets: Sequence[Packet]) -> list[tuple[Plane, Plane, Plane]]:
        """Rebuild several packets of one size."""
        return [self.decode(packet) for packet in packets]

    def block_bits(self, packet: Packet) -> npt.NDArray[np.float64] | None:
        """Bits of each 16×16 luma block, (⌈height/16⌉, ⌈width/16⌉); None where the codec cannot tell.

        Raises as :meth:`decode` does.
        """
        return None

    def estimate_bits(self, frames: Sequence[Frame], rate_indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """Bits of every frame (rows) at every rate index (columns), header counted.

        The default codes for real. A codec that knows its rate earlier overrides it; the estimate
        must lie within 2 % of the packet that :meth:`encode` makes.
        """
        return np.array(
            [[8 * len(self.encode(f, i).packet.to_bytes()) for i in rate_indices] for f in frames],
            dtype=np.float64,
        )
