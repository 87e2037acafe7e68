"""What the decoder makes of latents, and how its error changes with each of them: the synthesis run backwards.

Written out layer by layer and not left to autograd, so that it runs where the synthesis does, on the same kernels, and
gives the same numbers whatever the number of threads. Of a layer x -> W·x the error goes back as Wᵀ·e, through
F.leaky_relu and :func:`~maevid.model.layers.compand` by their slopes at what went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from maevid.model.integer import LEAKY_SLOPE
from maevid.model.lapping import inverse_changes, overlapped
from maevid.model.layers import Depthwise, Pointwise, ResidualBlock, companding_gain, pointwise
from maevid.model.transforms import Gains, Synthesis, scaled

Back = Callable[[Tensor], Tensor]


def synthesis_with_feedback(synthesis: Synthesis, latents: Tensor, gains: Gains) -> tuple[Tensor, Back]:
    """Decoded blocks (B, 96, 2h, 2w) around zero of latents (B, M, h, w), and a function that takes derivatives with
    respect to them and gives those with respect to the latents. Precisions are those of autocast, sums float32."""
    x, first = _blocks(synthesis.blocks_16, scaled(latents, gains.dequantiser))
    x = F.pixel_shuffle(synthesis.up(x).float(), 2)
    for gain in gains.synthesis:
        x = scaled(x, gain)
    x, second = _blocks(synthesis.blocks_8, x)
    if gains.input is not None:
        x = scaled(x, -gains.input)
    decoded = synthesis.output(x).float()
    if gains.lapping is not None:
        decoded = overlapped(decoded, inverse_changes(gains.lapping))

    def back(error: Tensor) -> Tensor:
        if gains.lapping is not None:
            luma, chroma = inverse_changes(gains.lapping)
            error = overlapped(error, (luma.transpose(1, 2), chroma.transpose(1, 2)))
        error = _transposed(synthesis.output, error)
        if gains.input is not None:
            error = scaled(error, -gains.input)
        error = second(error)
        for gain in gains.synthesis:
            error = scaled(error, gain)
        error = first(_transposed(synthesis.up, F.pixel_unshuffle(error, 2)))
        return scaled(error, gains.dequantiser)

    return decoded, back


def _transposed(layer: Pointwise, error: Tensor) -> Tensor:
    return pointwise(error, layer.weight.t()).float()


def _blocks(blocks: Iterable[torch.nn.Module], x: Tensor) -> tuple[Tensor, Back]:
    """Residual blocks in a row."""
    backs: list[Back] = []
    for block in blocks:
        assert isinstance(block, ResidualBlock)
        for branch in (_spatial_branch, _mixing_branch):
            x, back = branch(block, x)
            backs.append(back)

    def all_back(error: Tensor) -> Tensor:
        for back in reversed(backs):
            error = back(error)
        return error

    return x, all_back


def _spatial_branch(block: ResidualBlock, x: Tensor) -> tuple[Tensor, Back]:
    seen, slope = _seen(block, x)
    inside = block.spatial_in(seen)
    out = x + block.spatial_out(block.spatial(F.leaky_relu(inside, LEAKY_SLOPE)))

    def back(error: Tensor) -> Tensor:
        above = _filtered_back(block.spatial, pointwise(error, block.spatial_out.weight.t()))
        return error + slope * pointwise(_leaky_back(inside, above), block.spatial_in.weight.t())

    return out, back


def _mixing_branch(block: ResidualBlock, x: Tensor) -> tuple[Tensor, Back]:
    seen, slope = _seen(block, x)
    inside = block.mix_in(seen)
    out = x + block.mix_out(F.leaky_relu(inside, LEAKY_SLOPE))

    def back(error: Tensor) -> Tensor:
        above = pointwise(error, block.mix_out.weight.t())
        return error + slope * pointwise(_leaky_back(inside, above), block.mix_in.weight.t())

    return out, back


def _seen(block: ResidualBlock, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a branch sees of its input, and the slope there: of x·r, r = 1/√(1 + |x|), it is (1 + r²)·r/2."""
    if not block.companded:
        return x, torch.ones_like(x)
    r = companding_gain(x)
    return x * r, (1 + r * r) * r / 2


def _leaky_back(inside: Tensor, error: Tensor) -> Tensor:
    return torch.where(inside > 0, error, LEAKY_SLOPE * error)


def _filtered_back(layer: Depthwise, error: Tensor) -> Tensor:
    return F.conv2d(error, layer.weight.flip(2, 3), padding=1, groups=error.shape[1])
