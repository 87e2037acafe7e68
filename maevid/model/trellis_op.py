"""The trellis search as an operator of PyTorch, so that a compiled training step can hold it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from maevid.model.passes import pass_masks
from maevid.model.prior import SCALES
from maevid.model.trellis import COSTED, Search, gaussian_costs


@torch.library.custom_op("maevid::trellis_search", mutates_args=())
def trellis_search(
    deviations: Tensor, scale_index: Tensor, number: int, passes: int, counted: bool
) -> tuple[Tensor, Tensor]:
    """Deviations from the means (B, M, h, w) as a decoder gets them, zero where pass ``number`` codes nothing.

    ``scale_index`` is rounded; ``passes`` is 1 or 2. The second result is, where ``counted``, the bits of each picture
    (B,) under normal distributions, else zero. Without gradients, and always on the CPU.
    """
    search, costs = _search()
    index = scale_index.round().clamp(0, SCALES - 1).to("cpu", torch.uint8).contiguous().numpy()
    values = deviations.to("cpu", torch.float32).contiguous().numpy()
    decoded, bits = np.zeros(values.shape, np.float32), np.zeros(len(values), np.float32)
    which = pass_masks(*values.shape[1:], passes == 2)[number]
    for row in range(len(values)):
        found = search.in_pass(which, values[row], index[row], decoded[row])
        if counted:
            each = costs[found.scales, np.minimum(np.abs(found.symbols), COSTED), found.states]
            bits[row] = each.sum(dtype=np.float64)
    out = torch.from_numpy(decoded).contiguous(memory_format=torch.channels_last)
    return out.to(deviations.device), torch.from_numpy(bits).to(deviations.device)


@trellis_search.register_fake
def _(
    deviations: Tensor, scale_index: Tensor, number: int, passes: int, counted: bool
) -> tuple[Tensor, Tensor]:
    like = deviations.new_empty(deviations.shape, dtype=torch.float32)
    return like.contiguous(memory_format=torch.channels_last), deviations.new_empty(
        deviations.shape[:1], dtype=torch.float32
    )


@cache
def _search() -> tuple[Search, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    costs = gaussian_costs()
    return Search(costs), costs
