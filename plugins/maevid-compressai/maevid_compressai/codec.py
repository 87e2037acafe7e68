"""A CompressAI model as a frame codec of maevid.

A packet has one part: a byte that names colour matrix and range, the lengths of all strings but the last, and the
strings. The models know RGB; planes are converted as the frame's tags say, in float and without loss.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from maevid.codec.interface import CodecOptions, Encoded, FrameCodec
from maevid.errors import DamagedError, LatentError, ModelError
from maevid.model.device import choose_placement
from maevid.stream.packet import Packet
from maevid.video.frame import ColorTags, Frame, Plane
from maevid.video.rgb import BT601, BT709, BT2020, matrix_for, planes_of, rgb_of
from maevid_compressai.checkpoints import checkpoint_files, identity_of, load_state
from maevid_compressai.models import ALIGNMENT, Coded, Rgb, build

Planes = tuple[Plane, Plane, Plane]
_MATRICES = (BT709, BT601, BT2020)
_FULL_RANGE = 4


class CompressAICodec(FrameCodec):
    """One architecture of CompressAI's registry with the weights of one or several checkpoints."""

    def __init__(self, architecture: str, files: list[Path], device: torch.device) -> None:
        """Raises ModelError for checkpoints that cannot be read or do not fit."""
        states = [load_state(path) for path in files]
        self.name = architecture
        self.sha256 = identity_of(architecture, states)
        self.identity = bytes.fromhex(self.sha256[:8])
        self.model = build(architecture, states, device)
        self.rate_indices = range(len(self.model.lams))
        self.latents_checked = self.model.checked
        self.description = f"CompressAI {version('compressai')} on {device.type}, float32"

    def lam(self, rate_index: int) -> float:
        """λ of a rate index: that of CompressAI's training where the checkpoint tells it, else of its series."""
        return self.model.lams[rate_index]

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """Code one frame. Raises ValueError for a rate index outside ``rate_indices``."""
        if rate_index not in self.rate_indices:
            raise ValueError(f"rate index {rate_index} of {self.name} is outside {self.rate_indices}")
        began = time.perf_counter()
        matrix = matrix_for(frame.color.matrix, frame.height)
        color = ColorTags(matrix, full_range=bool(frame.color.full_range))
        coded = self.model.compress(_aligned(rgb_of(frame.planes, color)), rate_index)
        payload = bytearray([_MATRICES.index(matrix) | (_FULL_RANGE if color.full_range else 0)])
        for string in coded.strings[:-1]:
            payload += _length(len(string))
        payload += b"".join(coded.strings)
        packet = Packet(
            model=self.identity,
            rate_index=rate_index,
            width=frame.width,
            height=frame.height,
            pts=frame.pts,
            duration=frame.duration,
            parts=(bytes(payload),),
            latent_check=coded.check,
        )
        strings = 8 * sum(map(len, coded.strings))
        parts = {"header": 8 * len(packet.to_bytes()) - strings, "latent": strings}
        seconds = {"analysis": time.perf_counter() - began}
        if not reconstruct:
            return Encoded(packet, None, parts, seconds)
        picture = self.decode(packet)
        seconds["synthesis"] = time.perf_counter() - began - seconds["analysis"]
        return Encoded(packet, picture, parts, seconds)

    def decode(self, packet: Packet) -> Planes:
        """Rebuild the planes of one packet.

        Raises LatentError where the decoder's probabilities were not the encoder's, DamagedError and ModelError.
        """
        if packet.model != self.identity:
            raise ModelError(
                f"the packet needs checkpoint {packet.model.hex()}, this is {self.name} {self.identity.hex()}: "
                "name the right one with --weights"
            )
        if packet.rate_index not in self.rate_indices or len(packet.parts) != 1:
            raise DamagedError(f"the packet has a rate index or parts that no {self.name} encoder writes")
        try:
            color, strings = _unpacked(packet.parts[0], self.model.strings)
            height, width = (side + -side % ALIGNMENT for side in (packet.height, packet.width))
            coded = Coded(strings, packet.latent_check)
            rgb, check = self.model.decompress(coded, height, width, packet.rate_index)
        except Exception as error:
            raise DamagedError(f"{self.name} cannot decode the packet: {error}") from error
        if check != packet.latent_check:
            raise LatentError(
                f"the packet decodes to other latents than the encoder's: {self.name} computes its probabilities in "
                "floating point, try the encoder's machine and number of threads"
            )
        return planes_of(rgb[:, : packet.height, : packet.width], color)


def open_checkpoints(architecture: str, options: CodecOptions) -> FrameCodec:
    """The codec of an architecture with the weights that the options or the environment name."""
    device = choose_placement(options.device, "float32").device
    return CompressAICodec(architecture, checkpoint_files(architecture, options.weights), device)


def _aligned(rgb: Rgb) -> Rgb:
    """Edges repeated up to multiples of 64."""
    _, height, width = rgb.shape
    below, right = -height % ALIGNMENT, -width % ALIGNMENT
    return np.pad(rgb, ((0, 0), (0, below), (0, right)), mode="edge") if below or right else rgb


def _length(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _unpacked(payload: bytes, count: int) -> tuple[ColorTags, tuple[bytes, ...]]:
    """Colour and ``count`` strings. Raises ValueError or IndexError for what no encoder writes."""
    if payload[0] & ~_FULL_RANGE >= len(_MATRICES):
        raise ValueError(f"its colour byte is {payload[0]}")
    color = ColorTags(_MATRICES[payload[0] & ~_FULL_RANGE], full_range=bool(payload[0] & _FULL_RANGE))
    at, lengths = 1, []
    for _ in range(count - 1):
        value, shift = 0, 0
        while payload[at] > 0x7F:
            value |= (payload[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if shift > 28:
                raise ValueError("it has a string of more than 4 GB")
        lengths.append(value | payload[at] << shift)
        at += 1
    lengths.append(len(payload) - at - sum(lengths))
    if lengths[-1] < 0:
        raise ValueError("its strings are longer than it is")
    strings = []
    for length in lengths:
        strings.append(payload[at : at + length])
        at += length
    return color, tuple(strings)
