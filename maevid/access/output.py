"""How decoded pictures are handed over: RGB or planes, as NumPy arrays or as tensors on a device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from maevid.access.codecs import Device
from maevid.access.colors import write_rgb
from maevid.errors import UsageError
from maevid.video.frame import ColorTags, Plane

if TYPE_CHECKING:
    import torch

Kind = Literal["numpy", "torch"]
Pixels = Literal["rgb", "yuv"]
Planes = tuple[Plane, Plane, Plane]


class YuvPlanes(NamedTuple):
    """The planes of one picture, or of several in a stack: uint8, as decoded, without a change of range or matrix.

    ``y`` has shape (height, width), ``u`` and ``v`` ((height + 1) // 2, (width + 1) // 2); a stack has the number of
    pictures before it. Arrays or tensors.
    """

    y: Any
    u: Any
    v: Any


Picture: TypeAlias = Any
"""What a reader gives: an array, a tensor or :class:`YuvPlanes`, as its options say. A union of them would have every
caller ask what it got."""


@dataclass(frozen=True)
class Output:
    """Makes pictures, and stacks of them, of one kind. Raises UsageError for unknown kinds."""

    kind: Kind
    pixels: Pixels
    device: Device

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"unknown output {self.kind!r}: use numpy or torch")
        if self.pixels not in get_args(Pixels):
            raise UsageError(f"unknown pixels {self.pixels!r}: use rgb or yuv")

    def shape(self, count: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape of ``count`` RGB pictures: channels last in arrays, first in tensors."""
        return (count, height, width, 3) if self.kind == "numpy" else (count, 3, height, width)

    def one(self, planes: Planes, color: ColorTags) -> Picture:
        """One picture."""
        height, width = planes[0].shape
        stack = self.stack([planes], 1, height, width, color)
        return YuvPlanes(*(plane[0] for plane in stack)) if isinstance(stack, YuvPlanes) else stack[0]

    def stack(
        self, pictures: Iterable[Planes], count: int, height: int, width: int, color: ColorTags
    ) -> Picture:
        """``count`` pictures of one size, one after the other, so that only one is held twice."""
        if self.pixels == "yuv":
            half = (height + 1) // 2, (width + 1) // 2
            stacks = [np.empty((count, *size), np.uint8) for size in ((height, width), half, half)]
            for number, planes in enumerate(pictures):
                for stack, plane in zip(stacks, planes, strict=True):
                    stack[number] = plane
            return YuvPlanes(*(self._placed(stack) for stack in stacks))
        if self.kind == "torch" and self.device.kind == "cuda":
            return self._stack_on_gpu(pictures, count, height, width, color)
        rgb = np.empty(self.shape(count, height, width), np.uint8)
        for number, planes in enumerate(pictures):
            picture = rgb[number] if self.kind == "torch" else rgb[number].transpose(2, 0, 1)
            write_rgb(planes, color, list(picture), lambda shape: np.empty(shape, np.int32))
        return self._placed(rgb)

    def _stack_on_gpu(
        self, pictures: Iterable[Planes], count: int, height: int, width: int, color: ColorTags
    ) -> torch.Tensor:
        import torch

        place = self.device.torch
        rgb = torch.empty(self.shape(count, height, width), dtype=torch.uint8, device=place)
        for number, planes in enumerate(pictures):
            there = [torch.from_numpy(plane).to(place) for plane in planes]
            write_rgb(
                there, color, rgb[number].unbind(), lambda s: torch.empty(s, dtype=torch.int32, device=place)
            )
        return rgb

    def _placed(self, array: npt.NDArray[np.uint8]) -> Any:
        if self.kind == "numpy":
            return array
        import torch

        return torch.from_numpy(array).to(self.device.torch)
