"""Blocks that overlap: a linear transform across every second edge between blocks, before the analysis and undone after
the synthesis.

Latents lie on blocks of 16×16 luma samples (8×8 of chroma), and neighbours across their edges are as alike as within.
At each edge K samples before it and K behind it are transformed: their sums with their mirror images stay, of their
differences d, from the edge outward, come V·d. After the block transform this is a lapped transform, whose functions
end softly and reach over 32 samples (Tran, Liang and Tu, "Lapped Transform via Time-Domain Pre- and Post-Filtering",
IEEE Trans. Signal Processing 51(6), 2003). Here V is learned, and a function of λ as every modulation is:
V = I + FC(ReLU(FC(position))), at first the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maevid.model.modulation import ConditionalVector
from maevid.model.representation import CHROMA_STEP, LUMA_STEP, blocks_to_planes, planes_to_blocks

_LUMA, _CHROMA = LUMA_STEP**2, CHROMA_STEP**2


class Lapping(nn.Module):
    """The transforms across edges of luma, K = 8, and of both chroma planes, K = 4, at any λ."""

    def __init__(self) -> None:
        super().__init__()
        self.condition_luma = ConditionalVector(_LUMA)
        self.condition_chroma = ConditionalVector(_CHROMA)

    def forward(self, position: Tensor) -> Tensor:
        """:func:`forward_changes`, then :func:`inverse_changes`, at positions (B,), row by row, (B, 160)."""
        forward, inverse = [], []
        for condition, side in ((self.condition_luma, LUMA_STEP), (self.condition_chroma, CHROMA_STEP)):
            change = condition(position).double().view(-1, side, side)
            identity = torch.eye(side, dtype=change.dtype, device=change.device)
            back = torch.linalg.inv(identity + change) - identity
            forward.append(change.flatten(1) / 2)
            inverse.append(back.flatten(1) / 2)
        return torch.cat((*forward, *inverse), 1).float()


def forward_changes(table: Tensor) -> tuple[Tensor, Tensor]:
    """(V - I)/2 of luma (B, 8, 8) and of chroma (B, 4, 4)."""
    return _changes(table[:, : _LUMA + _CHROMA])


def inverse_changes(table: Tensor) -> tuple[Tensor, Tensor]:
    """(V⁻¹ - I)/2 of both."""
    return _changes(table[:, _LUMA + _CHROMA :])


def overlapped(blocks: Tensor, changes: tuple[Tensor, Tensor]) -> Tensor:
    """Blocks (B, 96, h, w), h and w even, with these changes over the edges within the picture; float32."""
    luma, chroma = changes
    with torch.autocast(blocks.device.type, enabled=False):
        y, u, v = blocks_to_planes(blocks.float())
        out = planes_to_blocks(_across(y, luma), _across(u, chroma), _across(v, chroma))
    return out.contiguous(memory_format=torch.channels_last)


def _changes(row: Tensor) -> tuple[Tensor, Tensor]:
    luma, chroma = row[:, :_LUMA], row[:, _LUMA:]
    return luma.reshape(-1, LUMA_STEP, LUMA_STEP), chroma.reshape(-1, CHROMA_STEP, CHROMA_STEP)


def _across(plane: Tensor, change: Tensor) -> Tensor:
    """``change`` (B, K, K) over the edges between blocks of 2K × 2K samples of (B, 1, H, W), upright and level ones."""
    k = change.shape[-1]
    # d = differences · x, and half of a difference's change goes to each side: x + differencesᵀ · change · d.
    identity = torch.eye(k, dtype=change.dtype, device=change.device)
    differences = torch.cat((identity.flip(0), -identity), 1)
    matrix = torch.eye(2 * k, dtype=change.dtype, device=change.device) + differences.T @ change @ differences
    return _along(_along(plane, matrix).transpose(-1, -2), matrix).transpose(-1, -2)


def _along(plane: Tensor, matrix: Tensor) -> Tensor:
    # Products, and no mirrored indices: TorchInductor took minutes to simplify those.
    batch, _, height, width = plane.shape
    side = matrix.shape[-1]
    half = side // 2
    groups = plane[..., half : width - half].reshape(batch, height * (width // side - 1), side)
    within = (groups @ matrix.transpose(1, 2)).view(batch, 1, height, width - side)
    return torch.cat((plane[..., :half], within, plane[..., width - half :]), -1)
