"""Analysis, hyper-analysis and synthesis for coding on a CPU that multiplies bfloat16 fast.

Features are kept in float32 and multiplied in bfloat16, as under autocast; between two products one loop does it all.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maevid.model.fused import compiled
from maevid.model.fused.laps import lap
from maevid.model.fused.places import NO_FLOATS, NO_HALVES, numbers, pictures, places
from maevid.model.integer import LEAKY_SLOPE
from maevid.model.layers import Depthwise, Pointwise, ResidualBlock
from maevid.model.prior import HYPER_FACTOR, HyperAnalysis
from maevid.model.transforms import Analysis, Gains, Synthesis
from maevid.model.workers import share


class _Product:
    """A convolution with its weight in bfloat16."""

    def __init__(self, layer: Pointwise | Depthwise) -> None:
        self.groups = layer.weight.shape[0] if isinstance(layer, Depthwise) else 1
        weight = layer.weight if self.groups > 1 else layer.weight[:, :, None, None]
        self.weight = weight.detach().bfloat16()
        self.bias = layer.bias.detach().bfloat16()

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2, groups=self.groups)


class _Block:
    """A residual block's two branches, from companded features to what is added."""

    def __init__(self, block: ResidualBlock) -> None:
        self.spatial = [_Product(layer) for layer in (block.spatial_in, block.spatial, block.spatial_out)]
        self.mix = [_Product(layer) for layer in (block.mix_in, block.mix_out)]

    def __call__(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features without the last change, which is given beside them; ``x`` is changed in place."""
        inward, spatial, outward = self.spatial
        seen = _accumulate(x, outward(spatial(F.leaky_relu_(inward(seen), LEAKY_SLOPE))), companded=True)
        inward, outward = self.mix
        return x, outward(F.leaky_relu_(inward(seen), LEAKY_SLOPE))


def _blocks(blocks: Iterable[nn.Module]) -> list[_Block]:
    return [_Block(block) for block in blocks if isinstance(block, ResidualBlock)]


def _features(x: Tensor) -> Tensor:
    """What :func:`_accumulate` can change in place."""
    return x.float().contiguous(memory_format=torch.channels_last)


def _accumulate(
    x: Tensor, change: Tensor | None = None, log_gain: Tensor | None = None, companded: bool | None = None
) -> Tensor:
    """x = (x + change)·exp(log_gain) in place; gives x in bfloat16, companded or as it is, where asked for, else x.

    x (B, C, h, w) float32, channels-last; ``change`` bfloat16 of that size; ``log_gain`` (B, C).
    """
    rows = places(x)
    seen = None if companded is None else torch.empty(rows.shape, dtype=torch.bfloat16)
    arguments = (
        numbers(rows),
        NO_HALVES if change is None else numbers(places(change)),
        NO_FLOATS if log_gain is None else numbers(torch.exp(log_gain)),
        x.shape[-2] * x.shape[-1],
        bool(companded),
        NO_HALVES if seen is None else numbers(seen),
    )
    share(partial(compiled.accumulate, *arguments), len(rows))
    return x if seen is None else pictures(seen, x)


def _run(blocks: list[_Block], x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features and the last change, not yet added. ``seen`` is x companded."""
    change = None
    for block in blocks:
        if change is not None:
            seen = _accumulate(x, change, companded=True)
        x, change = block(x, seen)
    return x, change


def _unshuffled(x: Tensor) -> Tensor:
    """pixel_unshuffle by 2 of bfloat16 pictures of even size."""
    batch, channels, height, width = x.shape
    source = numbers(places(x))
    out = torch.empty((batch * height * width // 4, 4 * channels), dtype=torch.bfloat16)
    target = numbers(out)
    # Height is even, so pictures below one another are one high picture.
    share(partial(compiled.unshuffle, source, width, target), len(target))
    return out.view(batch, height // 2, width // 2, -1).permute(0, 3, 1, 2)


def _shuffled(x: Tensor) -> Tensor:
    """pixel_shuffle by 2 of bfloat16 pictures, to float32."""
    batch, channels, height, width = x.shape
    source = numbers(places(x))
    out = torch.empty((batch * height * width * 4, channels // 4), dtype=torch.float32)
    target = numbers(out)
    share(partial(compiled.shuffle, source, 2 * width, target), len(source))
    return out.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


class FusedAnalysis:
    """:class:`Analysis` with features in quantiser units."""

    def __init__(self, analysis: Analysis) -> None:
        self.input, self.down = _Product(analysis.input), _Product(analysis.down)
        self.blocks_8, self.blocks_16 = _blocks(analysis.blocks_8), _blocks(analysis.blocks_16)

    def __call__(self, blocks: Tensor, gains: Gains) -> Tensor:
        """Blocks (B, 96, h, w) of samples around zero, bfloat16, to latents (B, M, h/2, w/2) in quantiser units.

        Samples count levels where blocks overlap, else 1/255 of them.
        """
        assert gains.input is not None
        if gains.lapping is not None:
            blocks = lap(blocks, gains.lapping)
        first = sum(gains.analysis, gains.input)
        x = _features(self.input(blocks))
        seen = _accumulate(x, log_gain=first.expand(-1, x.shape[1]), companded=bool(self.blocks_8))
        if self.blocks_8:
            x, change = _run(self.blocks_8, x, seen)
            seen = _accumulate(x, change, companded=False)
        x = _features(self.down(_unshuffled(seen)))
        x, change = _run(self.blocks_16, x, _accumulate(x, companded=True))
        return _accumulate(x, change, gains.quantiser)


class FusedSynthesis:
    """:class:`Synthesis` with features in quantiser units."""

    def __init__(self, synthesis: Synthesis) -> None:
        self.up, self.output = _Product(synthesis.up), _Product(synthesis.output)
        self.blocks_16, self.blocks_8 = _blocks(synthesis.blocks_16), _blocks(synthesis.blocks_8)

    def __call__(self, latents: Tensor, gains: Gains) -> Tensor:
        """Latents (B, M, h, w) to blocks (B, 96, 2h, 2w), bfloat16, as they are before their overlap is undone."""
        assert gains.input is not None
        x = latents.clone(memory_format=torch.channels_last)
        seen = _accumulate(x, log_gain=gains.dequantiser, companded=bool(self.blocks_16))
        if self.blocks_16:
            x, change = _run(self.blocks_16, x, seen)
            seen = _accumulate(x, change, companded=False)
        x = _shuffled(self.up(seen))
        back = -gains.input.expand(-1, x.shape[1])
        gain = sum(gains.synthesis, torch.zeros_like(back))
        if not self.blocks_8:
            return self.output(_accumulate(x, log_gain=gain + back, companded=False))
        x, change = _run(self.blocks_8, x, _accumulate(x, log_gain=gain, companded=True))
        return self.output(_accumulate(x, change, back, companded=False))


class FusedHyperAnalysis:
    """:class:`HyperAnalysis`; logarithms are good to bfloat16's precision."""

    def __init__(self, hyper: HyperAnalysis) -> None:
        self.original = hyper
        self.input, self.spatial_1, self.down_1, self.spatial_2 = (
            _Product(layer) for layer in (hyper.input, hyper.spatial_1, hyper.down_1, hyper.spatial_2)
        )

    def __call__(self, y: Tensor, gains: Gains) -> Tensor:
        """Latents (B, M, h, w) to hyper-latents (B, Z, ⌈h/4⌉, ⌈w/4⌉), unrounded."""
        assert gains.hyper is not None
        height, width = y.shape[-2:]
        rows = places(y)
        seen = torch.empty((len(rows), 2 * rows.shape[1]), dtype=torch.bfloat16)
        source, target = numbers(rows), numbers(seen)
        share(partial(compiled.magnitudes, source, target), len(rows))
        x = self.input(pictures(seen, y))
        below, right = -height % HYPER_FACTOR, -width % HYPER_FACTOR
        if below or right:
            # Before it or after it, a product place by place repeats edges alike.
            x = F.pad(x, (0, right, 0, below), mode="replicate").contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu_(x.add_(gains.hyper[:, :, None, None].bfloat16()), LEAKY_SLOPE)
        x = F.leaky_relu_(self.down_1(_unshuffled(self.spatial_1(x))), LEAKY_SLOPE)
        return self.original.last(_unshuffled(self.spatial_2(x)), gains)
