"""The quickest codec that still has a rate: every eighth sample of every eighth row, quantised and deflated.

It takes a millisecond for a picture of any size up to 1920x1080, so that hours of full pictures can go through reader,
rate control, writer and decompression, whose memory it is that benchmarks/memory.py weighs, on a busy machine.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from maevid.codec.interface import CodecOptions, Encoded, FrameCodec
from maevid.errors import DamagedError
from maevid.stream.packet import Packet
from maevid.video.frame import Frame, Plane

NAME = "thumbnails"
EVERY = 8


class Thumbnails(FrameCodec):
    """Rate index i has the quantiser step 2^((63 - i) / 12), of which every plane's samples are multiples."""

    name = NAME
    sha256 = hashlib.sha256(NAME.encode()).hexdigest()
    identity = bytes.fromhex(sha256[:8])
    rate_indices = range(64)
    description = "every eighth sample, deflated"

    def lam(self, rate_index: int) -> float:
        """As for any uniform quantiser, 6 / (ln 2 · step²)."""
        return 6 / math.log(2) / _step(rate_index) ** 2

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """One part a plane."""
        parts = tuple(
            zlib.compress((plane[::EVERY, ::EVERY] / _step(rate_index) + 0.5).astype(np.uint8).tobytes(), 1)
            for plane in frame.planes
        )
        packet = Packet(
            self.identity, rate_index, frame.width, frame.height, frame.pts, frame.duration, parts=parts
        )
        bits = dict(zip("yuv", (8 * len(part) for part in parts), strict=True))
        return Encoded(packet, self.decode(packet) if reconstruct else None, bits)

    def decode(self, packet: Packet) -> tuple[Plane, Plane, Plane]:
        """Planes of blocks of 8x8 equal samples. Raises DamagedError."""
        half = ((packet.height + 1) // 2, (packet.width + 1) // 2)
        shapes = ((packet.height, packet.width), half, half)
        try:
            y, u, v = (
                _enlarged(zlib.decompress(part), shape, packet.rate_index)
                for part, shape in zip(packet.parts, shapes, strict=True)
            )
        except (ValueError, zlib.error) as error:
            raise DamagedError(f"no thumbnail: {error}") from error
        return y, u, v


def _step(rate_index: int) -> float:
    return 2.0 ** ((63 - rate_index) / 12)


def _enlarged(data: bytes, shape: tuple[int, int], rate_index: int) -> Plane:
    height, width = shape
    samples = np.frombuffer(data, np.uint8).reshape(-(-height // EVERY), -(-width // EVERY))
    values = np.minimum(samples * _step(rate_index), 255).astype(np.uint8)
    return np.ascontiguousarray(values.repeat(EVERY, 0).repeat(EVERY, 1)[:height, :width])


def open_codec(options: CodecOptions) -> FrameCodec:
    """What the entry point names."""
    return Thumbnails()


def register(folder: Path) -> Path:
    """Makes what an installed package would have in ``folder``, which is then to stand in Python's path; returns it."""
    information = folder / f"{NAME}-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[maevid.codecs]\n{NAME} = {NAME}:open_codec\n")
    return folder
