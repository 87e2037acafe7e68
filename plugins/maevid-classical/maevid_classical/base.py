"""What all classical codecs share: packets around the codec's own bytes, checks, frames coded side by side."""

from __future__ import annotations

import hashlib
import os
import time
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import av

from maevid.codec.interface import Encoded, FrameCodec
from maevid.errors import DamagedError, MaevidError, ModelError
from maevid.stream.packet import Packet
from maevid.video.frame import Frame, Plane

Planes = tuple[Plane, Plane, Plane]

FORMAT = 1
"""Part of every identity: raised when packets of an earlier version no longer decode."""


class ClassicalCodec(FrameCodec):
    """A frame codec around functions from planes to bytes and back.

    Every frame gets an encoder and a decoder of its own on one thread, so that its bytes depend on nothing but the
    frame and the rate index; several frames run side by side.
    """

    def __init__(self, name: str, settings: str, steps: Sequence[float]) -> None:
        """``steps`` are the quantiser steps of the rate indices, falling; ``settings`` is for the user to read."""
        self.name = name
        self.sha256 = hashlib.sha256(f"maevid-classical {name} {FORMAT}".encode()).hexdigest()
        self.identity = bytes.fromhex(self.sha256[:8])
        self.rate_indices = range(len(steps))
        self.description = f"{settings}; PyAV {av.__version__}, one thread a frame"
        self.batch_size = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        self._lams = [lam_of_step(step) for step in steps]

    @abstractmethod
    def encode_planes(self, planes: Planes, rate_index: int) -> tuple[bytes, ...]:
        """The codec's bytes as packet parts."""

    @abstractmethod
    def decode_planes(self, parts: tuple[bytes, ...], height: int, width: int) -> Planes:
        """The planes. Any exception means that the parts are damaged."""

    def lam(self, rate_index: int) -> float:
        """λ of a rate index, from the quantiser step: 6 / (ln 2 · step²)."""
        return self._lams[rate_index]

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """Code one frame. Raises ValueError for a rate index outside ``rate_indices``, MaevidError when it fails."""
        if rate_index not in self.rate_indices:
            raise ValueError(f"rate index {rate_index} of {self.name} is outside {self.rate_indices}")
        began = time.perf_counter()
        try:
            parts = self.encode_planes(frame.planes, rate_index)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            size = f"{frame.width}x{frame.height}"
            raise MaevidError(f"{self.name} cannot code a {size} picture: {error}") from error
        seconds = {"entropy": time.perf_counter() - began}
        packet = Packet(
            model=self.identity,
            rate_index=rate_index,
            width=frame.width,
            height=frame.height,
            pts=frame.pts,
            duration=frame.duration,
            parts=parts,
        )
        payload = 8 * sum(map(len, parts))
        bits = {"header": 8 * len(packet.to_bytes()) - payload, "payload": payload}
        if not reconstruct:
            return Encoded(packet, None, bits, seconds)
        picture = self.decode(packet)
        seconds["synthesis"] = time.perf_counter() - began - seconds["entropy"]
        return Encoded(packet, picture, bits, seconds)

    def decode(self, packet: Packet) -> Planes:
        """Rebuild the planes of one packet."""
        if packet.model != self.identity:
            raise ModelError(
                f"the packet needs codec {packet.model.hex()}, this is {self.name} {self.identity.hex()} "
                "of maevid-classical: install the version that made the file"
            )
        try:
            planes = self.decode_planes(packet.parts, packet.height, packet.width)
        except Exception as error:
            raise DamagedError(f"{self.name} cannot decode the packet: {error}") from error
        height, width = packet.height, packet.width
        half = ((height + 1) // 2, (width + 1) // 2)
        if [plane.shape for plane in planes] != [(height, width), half, half]:
            raise DamagedError(f"the {self.name} payload holds another picture size than its packet says")
        return planes

    def encode_batch(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], *, reconstruct: bool = False
    ) -> list[Encoded]:
        """Code several frames side by side; the libraries let go of Python's lock while they work."""
        with ThreadPoolExecutor(self.batch_size) as pool:
            jobs = zip(frames, rate_indices, strict=True)
            return list(pool.map(lambda job: self.encode(*job, reconstruct=reconstruct), jobs))

    def decode_batch(self, packets: Sequence[Packet]) -> list[Planes]:
        """Rebuild several packets side by side."""
        with ThreadPoolExecutor(self.batch_size) as pool:
            return list(pool.map(self.decode, packets))


def lam_of_step(step: float) -> float:
    """λ for which a uniform quantiser of that step (in 8-bit sample units, orthonormal transform) is the best one.

    At high rate the error is step²/12 and a bit quarters it; setting the slope of R + λ·D to zero gives
    λ = 6 / (ln 2 · step²), D counted in squared 8-bit units as maevid's λ·255²·D does.
    """
    return 8.656170245333781 / step**2


def h26x_step(qp: int) -> float:
    """Quantiser step of H.264 and HEVC: 0.625 at QP 0, doubled every 6."""
    return 0.625 * 2 ** (qp / 6)


def av1_step(qp: int) -> float:
    """Quantiser step of VP9 and AV1 at 8 bits for a QP of 0..63, approximately: linear, then exponential."""
    index = min(255.0, 4 * qp)
    return (index + 7 if index < 100 else 107 * 2 ** ((index - 100) / 38)) / 8
