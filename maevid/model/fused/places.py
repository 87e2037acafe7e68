"""Tensors of pictures as arrays of places, without copying where they are channels-last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NO_FLOATS = np.empty((0, 0), np.float32)
NO_HALVES = np.empty((0, 0), np.uint16)


def places(x: Tensor) -> Tensor:
    """(B, C, h, w) as (B·h·w, C): a view where x is channels-last already, else a copy."""
    return x.permute(0, 2, 3, 1).contiguous().view(-1, x.shape[1])


def pictures(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of :func:`places`, in size like ``like`` (B, ·, h, w)."""
    return rows.view(like.shape[0], *like.shape[-2:], rows.shape[1]).permute(0, 3, 1, 2)


def numbers(x: Tensor) -> npt.NDArray[Any]:
    """The array of a tensor; bfloat16 as its bits, uint16."""
    array: npt.NDArray[Any] = (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).contiguous().numpy()
    return array
