"""The entropy model on its exact arithmetic, for coding on the CPU: the same numbers as :class:`EntropyModel`'s.

Place by place, what is coded in a pass is every second channel; only those are computed. What comes before a head's
output and the head itself are done for so many places at once as the processor's cache holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from maevid.model.fused import entropy_loops as loops
from maevid.model.fused.places import NO_FLOATS, numbers, pictures, places
from maevid.model.fused.products import Levels, Product
from maevid.model.integer import LEAKY_SLOPE
from maevid.model.prior import HYPER_LIMIT, HYPER_STEP, Conditions, EntropyModel, ParameterHead
from maevid.model.quantiser import OFFSETS
from maevid.model.workers import share

FIRST, SECOND, EVERYWHERE = 0, 1, 2
"""Which latents: those of the first pass, of the second, or all where there is one pass."""
ROWS = 512
"""Places at once for each thread."""
_NO_INTEGERS = np.empty((0, 0, 0), np.int32)


@dataclass(frozen=True)
class _Quantising:
    """What the encoder's rounding reads and writes (see :func:`.entropy_loops._predict`)."""

    latents: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]
    decoded: npt.NDArray[np.float32]
    symbols: npt.NDArray[np.int32]


class _Group:
    """Places whose latents of the channels first, first + stride, … are coded in a pass, and what computes those."""

    def __init__(self, head: ParameterHead, levels: Levels, parity: int, which: int, channels: int) -> None:
        self.parity = parity
        self.stride = 1 if which == EVERYWHERE else 2
        self.first = 0 if which == EVERYWHERE else (parity + which) % 2
        self.channels = torch.arange(self.first, channels, self.stride)
        outputs = torch.cat((self.channels, channels + self.channels))
        self.out = Product(head.out, levels, outputs)

    def of(self, per_channel: Tensor) -> npt.NDArray[np.float32]:
        """The group's channels of what is there for all, (·, M)."""
        return numbers(per_channel[:, self.channels])


class FusedEntropy:
    """Wraps a frozen, exact :class:`EntropyModel`, whose convolutions and weights it uses."""

    def __init__(self, model: EntropyModel) -> None:
        self.model = model
        self.levels = levels = Levels(model.step)
        self.channels = len(model.head_1.out.weight) // 2
        hidden = len(model.head_1.hidden.weight)
        # Four places' channels, one place after the other.
        self._up = Product(model.up_2, levels, torch.arange(4 * hidden).view(-1, 4).t().flatten())
        self._passes = (FIRST, SECOND) if model.two_passes else (EVERYWHERE,)
        self._hidden = [Product(model.head_1.hidden, levels)]
        self._groups = [self._grouped(model.head_1, self._passes[0])]
        self._taps = torch.empty((0, self.channels), dtype=torch.float32)
        if model.two_passes:
            self._mix = Product(model.context_mix, levels)
            self._hidden.append(Product(model.head_2.hidden, levels))
            self._groups.append(self._grouped(model.head_2, SECOND))
            around = model.predictor.weight[:, 0].detach()
            self._taps = torch.stack([around[:, r, c] for r, c in ((0, 1), (1, 0), (1, 2), (2, 1))])

    def _grouped(self, head: ParameterHead, which: int) -> list[_Group]:
        parities = (EVERYWHERE,) if which == EVERYWHERE else (0, 1)
        groups = [_Group(head, self.levels, parity, which, self.channels) for parity in parities]
        return [group for group in groups if len(group.channels)]

    def features(self, z: Tensor, conditions: Conditions, height: int, width: int) -> Tensor:
        """As :meth:`EntropyModel.features`."""
        model = self.model
        x = model.up_1(z.clamp(-HYPER_LIMIT, HYPER_LIMIT) * HYPER_STEP)
        x = self._activate(F.pixel_shuffle(x, 2), conditions.hyper, LEAKY_SLOPE)
        x = self._activate(self._rise(self._activate(model.spatial_1(x))))
        return x[:, :, :height, :width].contiguous(memory_format=torch.channels_last)

    def first(self, features: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Means and scale indices of the first pass: (B, M, h, w), uint8, of the second's latents zero.

        What the means are like is known to :meth:`restore` alone.
        """
        return self._means(0, features, conditions, None)

    def second(self, features: Tensor, anchors: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """The same of the second pass; ``anchors`` (B, M, h, w) need to be right where the first pass codes."""
        return self._means(1, features, conditions, anchors)

    def quantise(
        self, latents: Tensor, features: Tensor, conditions: Conditions, offsets: Tensor = OFFSETS
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Round latents (B, M, h, w) pass by pass: symbols (int32), scale indices (uint8), decoded latents."""
        rows = places(latents)
        decoded = torch.zeros_like(rows)
        symbols = torch.empty(latents.shape, dtype=torch.int32)
        index = torch.empty(latents.shape, dtype=torch.uint8)
        rounding = _Quantising(numbers(rows), offsets.numpy(), numbers(decoded), numbers(symbols.flatten(2)))
        for number in range(len(self._passes)):
            anchors = pictures(decoded, latents) if number else None
            self._predict(number, features, conditions, anchors, index, NO_FLOATS, rounding)
        return symbols, index, pictures(decoded, latents)

    def deviations(self, mean: Tensor, latents: Tensor, *, second: bool) -> Tensor:
        """Latents (B, M, h, w) less their means, where the first or the second pass codes; zero elsewhere."""
        batch, _, height, width = latents.shape
        out = torch.zeros(latents.shape, dtype=torch.float32)
        rows, found = numbers(places(latents)), numbers(out.flatten(2))
        for group, where, means in self._grouped_means(mean, second, batch, height, width):
            sizes = height * width, group.first, group.stride
            share(partial(loops.deviate, means, rows, where, *sizes, found), len(where))
        return out

    def _grouped_means(
        self, mean: Tensor, second: bool, batch: int, height: int, width: int
    ) -> Iterator[tuple[_Group, npt.NDArray[np.int32], npt.NDArray[np.float32]]]:
        """The groups of a pass, their places, and of :meth:`first`'s or :meth:`second`'s means theirs (places, n)."""
        at = 0
        for group in self._groups[second]:
            where = _places_of(group.parity, batch, height, width)
            end = at + len(where) * len(group.channels)
            yield group, where, numbers(mean[at:end].view(len(where), len(group.channels)))
            at = end

    def restore(self, mean: Tensor, symbols: Tensor, before: Tensor | None) -> Tensor:
        """Decoded latents (B, M, h, w): means plus symbols (float32) of one pass, the first's ``before`` the second's.

        After the first of two passes, only its latents are right.
        """
        batch, channels, height, width = symbols.shape
        size = (batch * height * width, channels)
        rows = torch.zeros(size, dtype=torch.float32) if before is None else places(before)
        decoded, levels = numbers(rows), numbers(symbols.flatten(2))
        for group, where, means in self._grouped_means(mean, before is not None, batch, height, width):
            sizes = height * width, group.first, group.stride
            share(partial(loops.restore, means, levels, where, *sizes, decoded), len(where))
        return pictures(rows, symbols)

    def _means(
        self, number: int, features: Tensor, conditions: Conditions, anchors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Means of all groups of a pass, one after the other, and scale indices."""
        batch, _, height, width = features.shape
        index = torch.zeros((batch, self.channels, height, width), dtype=torch.uint8)
        counts = [
            len(_places_of(group.parity, batch, height, width)) * len(group.channels)
            for group in self._groups[number]
        ]
        mean = torch.empty(sum(counts), dtype=torch.float32)
        self._predict(number, features, conditions, anchors, index, numbers(mean), None)
        return mean, index

    def _predict(
        self,
        number: int,
        features: Tensor,
        conditions: Conditions,
        anchors: Tensor | None,
        index: Tensor,
        mean: npt.NDArray[np.float32],
        rounding: _Quantising | None,
    ) -> None:
        """Fill ``index`` and, to decode, ``mean`` or, to encode, what ``rounding`` has, for a pass."""
        batch, _, height, width = features.shape
        per = height * width
        known = numbers(places(features))
        around, seen = NO_FLOATS, known
        if anchors is not None:
            around, seen = self._around(anchors), self._context(anchors)
        offset = numbers((conditions.first, conditions.second)[number])
        kernels = self.levels.kernels
        outputs = rounding or _Quantising(NO_FLOATS, NO_FLOATS, NO_FLOATS, _NO_INTEGERS)
        scales = numbers(index.flatten(2))
        at = 0
        for group in self._groups[number]:
            gain, taps = group.of(conditions.scale_index), group.of(self._taps)
            for where in _parts(_places_of(group.parity, batch, height, width)):
                x = self._enter(seen, where)
                if anchors is not None:
                    x = self._carry_on(self._mix, x, where, NO_FLOATS, known, per, 1.0)
                x = self._carry_on(self._hidden[number], x, where, offset, NO_FLOATS, per, LEAKY_SLOPE)
                end = at + (0 if rounding else len(where) * len(group.channels))
                product = (group.out(x), group.out.scale, group.out.bias)
                inputs = (gain, around, taps, outputs.latents, outputs.offsets)
                sizes = (self.model.mean_step, where, per, width, group.first, group.stride)
                means = mean[at:end].reshape(-1, len(group.channels)) if end > at else NO_FLOATS
                results = (means, scales, outputs.decoded, outputs.symbols)
                share(partial(kernels.predict, *product, *inputs, *sizes, *results), len(where))
                at = end

    def _around(self, anchors: Tensor) -> npt.NDArray[np.float32]:
        """What the linear predictor sees of the first pass's latents, (places, ⌈M/2⌉)."""
        latents = numbers(places(anchors))
        # Where a place has a channel less, nothing is multiplied by what stands there.
        out = np.zeros((len(latents), (latents.shape[1] + 1) // 2), np.float32)
        sizes = anchors.shape[-2] * anchors.shape[-1], anchors.shape[-1]
        share(partial(loops.gather, latents, *sizes, out), len(latents))
        return out

    def _context(self, anchors: Tensor) -> npt.NDArray[np.float32]:
        """What the second pass sees of the first's latents, (places, M)."""
        model = self.model
        latents = places(anchors)
        seen = torch.empty_like(latents)
        source, target = numbers(latents), numbers(seen)
        share(partial(loops.compress, source, model.step, target), len(source))
        return numbers(places(model.context_spatial(pictures(seen, anchors))))

    def _rise(self, x: Tensor) -> Tensor:
        """Activations (B, H, h, w) through the second upsampling, its activation and its filter: twice as wide."""
        batch, hidden, height, width = x.shape
        source = numbers(places(x))
        risen = torch.empty((4 * len(source), hidden), dtype=torch.float32)
        up, target = self._up, numbers(risen)
        for where in _parts(_places_of(EVERYWHERE, batch, height, width)):
            product = (up(self._enter(source, where)), up.scale, up.bias)
            options = (where, 2 * width, LEAKY_SLOPE, self.levels.step)
            share(partial(self.levels.kernels.rise, *product, *options, target), len(where))
        above = risen.view(batch, 2 * height, 2 * width, hidden).permute(0, 3, 1, 2)
        out: Tensor = self.model.spatial_2(above)
        return out

    def _enter(self, x: npt.NDArray[np.float32], where: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """Levels of features (places, channels) at some places."""
        out = self.levels.empty(len(where), x.shape[1])
        share(partial(self.levels.kernels.enter, x, where, self.levels.step, out), len(where))
        return out

    def _carry_on(
        self,
        layer: Product,
        x: npt.NDArray[Any],
        where: npt.NDArray[np.int32],
        offset: npt.NDArray[np.float32],
        added: npt.NDArray[np.float32],
        per: int,
        slope: float,
    ) -> npt.NDArray[Any]:
        """Levels before a layer to those after it and its activation."""
        out = self.levels.empty(len(where), len(layer.scale))
        inputs = (layer(x), layer.scale, layer.bias, offset, added, where)
        share(partial(self.levels.kernels.carry_on, *inputs, per, slope, self.levels.step, out), len(where))
        return out

    def _activate(self, x: Tensor, offset: Tensor | None = None, slope: float = 1.0) -> Tensor:
        """clamp(round(leaky(x + offset))), over x where that is possible."""
        rows = places(x)
        target = numbers(rows)
        by_picture = NO_FLOATS if offset is None else numbers(offset)
        per, step = x.shape[-2] * x.shape[-1], self.levels.step
        share(partial(loops.activate, target, by_picture, per, slope, step), len(target))
        return pictures(rows, x)


@lru_cache(maxsize=16)
def _places_of(parity: int, batch: int, height: int, width: int) -> npt.NDArray[np.int32]:
    """The places of a batch where row + column has this parity (EVERYWHERE: all)."""
    row, column = np.ogrid[:height, :width]
    wanted = np.ones((height, width), bool) if parity == EVERYWHERE else (row + column) % 2 == parity
    return np.flatnonzero(np.broadcast_to(wanted, (batch, height, width))).astype(np.int32)


def _parts(where: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
    """Some at a time."""
    size = ROWS * torch.get_num_threads()
    for start in range(0, len(where), size):
        yield where[start : start + size]
