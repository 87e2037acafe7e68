"""How a transform sees a picture: native 4:2:0 blocks, or RGB. Both are linear in the samples of the planes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA_STEP = 8
CHROMA_STEP = 4
INPUTS = LUMA_STEP**2 + 2 * CHROMA_STEP**2
Planes = tuple[Tensor, Tensor, Tensor]


def planes_to_blocks(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Planes (B, 1, H, W) and two of (B, 1, H/2, W/2) to (B, 96, H/8, W/8): 64 Y, 16 U, 16 V samples."""
    return torch.cat(
        (
            F.pixel_unshuffle(y, LUMA_STEP),
            F.pixel_unshuffle(u, CHROMA_STEP),
            F.pixel_unshuffle(v, CHROMA_STEP),
        ),
        dim=1,
    )


def blocks_to_planes(blocks: Tensor) -> Planes:
    """The inverse of :func:`planes_to_blocks`."""
    y, u, v = torch.split(blocks, [LUMA_STEP**2, CHROMA_STEP**2, CHROMA_STEP**2], dim=1)
    return F.pixel_shuffle(y, LUMA_STEP), F.pixel_shuffle(u, CHROMA_STEP), F.pixel_shuffle(v, CHROMA_STEP)


def sample_weights(plane_weights: tuple[float, float, float]) -> Tensor:
    """Weight of each of the 96 block samples in the distortion of a picture, in squared errors a luma sample.

    A plane's weight counts its mean squared error; chroma planes have a quarter of the samples, so one
    chroma sample counts four times its plane's weight.
    """
    y, u, v = plane_weights
    return torch.tensor([y] * LUMA_STEP**2 + [4 * u] * CHROMA_STEP**2 + [4 * v] * CHROMA_STEP**2)


class Representation(ABC):
    """Planes (B, 1, H, W), (B, 1, H/2, W/2) twice to and from what a transform takes and gives.

    ``luma_samples`` is how many luma samples one position of the representation stands for.
    """

    luma_samples: int

    @abstractmethod
    def pack(self, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Float planes in 0..1 to (B, channels, h, w), in 0..1."""

    @abstractmethod
    def unpack(self, x: Tensor) -> Planes:
        """The inverse of :meth:`pack`, as far as it has one."""

    @abstractmethod
    def weights(self, plane_weights: tuple[float, float, float]) -> Tensor:
        """Weight (channels,) of each channel's squared error in the distortion, in squared errors a luma sample."""

    def load(self, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """As :meth:`pack`, from uint8 planes."""
        return self.pack(*(plane.to(torch.float32).div_(255) for plane in (y, u, v)))

    def levels(self, x: Tensor) -> Planes:
        """As :meth:`unpack`, rounded and clipped to uint8."""
        y, u, v = (to_levels(plane) for plane in self.unpack(x))
        return y, u, v


def to_levels(x: Tensor) -> Tensor:
    """Samples in 0..1 as bytes."""
    return x.mul(255).round_().clamp_(0, 255).to(torch.uint8)


class Blocks(Representation):
    """(B, 96, H/8, W/8): the samples themselves, moved only."""

    luma_samples = LUMA_STEP**2

    def pack(self, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return planes_to_blocks(y, u, v)

    def unpack(self, x: Tensor) -> Planes:
        return blocks_to_planes(x)

    def weights(self, plane_weights: tuple[float, float, float]) -> Tensor:
        return sample_weights(plane_weights)

    def load(self, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        # Bytes are moved, not floats: a quarter of the traffic.
        return self.pack(y, u, v).to(torch.float32, memory_format=torch.channels_last).div_(255)

    def levels(self, x: Tensor) -> Planes:
        return self.unpack(to_levels(x))


class Rgb(Representation):
    """(B, 3, H, W), as the paper's networks take it: BT.601 limited range, chroma repeated and averaged.

    For comparing networks. Colours outside RGB's cube stay as they are, so nothing is lost but what chroma's averaging
    of the decoded picture smooths.
    """

    luma_samples = 1
    # ITU-R BT.601: R = 1.164 (Y - 16) + 1.596 (V - 128) and so on, in fractions of 255.
    _FROM_YUV = (
        (255 / 219, 0.0, 1.402 * 255 / 224),
        (255 / 219, -0.344136 * 255 / 224, -0.714136 * 255 / 224),
    )
    _FROM_YUV_BLUE = (255 / 219, 1.772 * 255 / 224, 0.0)

    def _matrix(self, like: Tensor) -> Tensor:
        return torch.tensor((*self._FROM_YUV, self._FROM_YUV_BLUE), dtype=like.dtype, device=like.device)

    def pack(self, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        full = [F.interpolate(plane, scale_factor=2, mode="nearest") for plane in (u, v)]
        yuv = torch.cat((y - 16 / 255, *(plane - 128 / 255 for plane in full)), dim=1)
        return torch.einsum("rc,bchw->brhw", self._matrix(y), yuv)

    def unpack(self, x: Tensor) -> Planes:
        yuv = torch.einsum("cr,brhw->bchw", torch.linalg.inv(self._matrix(x)), x)
        y, chroma = yuv[:, :1] + 16 / 255, F.avg_pool2d(yuv[:, 1:], 2) + 128 / 255
        return y, chroma[:, :1], chroma[:, 1:]

    def weights(self, plane_weights: tuple[float, float, float]) -> Tensor:
        return torch.full((3,), 1 / 3)
