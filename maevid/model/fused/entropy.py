"""The entropy model on its exact arithmetic, for coding on the CPU: the same numbers as :class:`EntropyModel`'s."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from maevid.model.fused import compiled
from maevid.model.fused.places import NO_FLOATS, numbers, pictures, places
from maevid.model.integer import LEAKY_SLOPE, IntegerPointwise
from maevid.model.prior import HYPER_LIMIT, HYPER_STEP, Conditions, EntropyModel, ParameterHead
from maevid.model.workers import share

FIRST, SECOND, EVERYWHERE = 0, 1, 2
"""Which latents: those of the first pass, of the second, or all where there is one pass."""


class FusedEntropy:
    """Wraps a frozen, exact :class:`EntropyModel`, whose convolutions and weights it uses."""

    def __init__(self, model: EntropyModel) -> None:
        self.model = model
        self.taps = NO_FLOATS
        self._passes = (FIRST, SECOND) if model.two_passes else (EVERYWHERE,)
        if model.two_passes:
            around = model.predictor.weight[:, 0].detach()
            self.taps = numbers(torch.stack([around[:, r, c] for r, c in ((0, 1), (1, 0), (1, 2), (2, 1))]))

    def features(self, z: Tensor, conditions: Conditions, height: int, width: int) -> Tensor:
        """As :meth:`EntropyModel.features`."""
        model = self.model
        x = model.up_1(z.clamp(-HYPER_LIMIT, HYPER_LIMIT) * HYPER_STEP)
        x = self._activate(F.pixel_shuffle(x, 2), conditions.hyper, LEAKY_SLOPE)
        x = self._activate(model.spatial_1(x))
        x = F.pixel_shuffle(self._activate(model.up_2(x), slope=LEAKY_SLOPE), 2)
        x = self._activate(model.spatial_2(x.contiguous(memory_format=torch.channels_last)))
        return x[:, :, :height, :width].contiguous(memory_format=torch.channels_last)

    def first(
        self, features: Tensor, conditions: Conditions, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Means (B, M, h, w) and scale indices, uint8, of the first pass; of the second's latents neither counts.

        Indices go into ``index`` where it is given.
        """
        raw = self._head(self.model.head_1, features, conditions.first)
        return self._predict(raw, conditions, NO_FLOATS, self._passes[0], index)

    def second(
        self, features: Tensor, anchors: Tensor, conditions: Conditions, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same of the second pass; ``anchors`` (B, M, h, w) need to be right where the first pass codes."""
        model = self.model
        latents = places(anchors)
        seen = torch.empty_like(latents)
        source, target = numbers(latents), numbers(seen)
        share(partial(compiled.compress, source, model.step, target), len(source))
        x = self._activate(model.context_spatial(pictures(seen, anchors)))
        x = self._activate(model.context_mix(x), added=features)
        raw = self._head(model.head_2, x, conditions.second)
        return self._predict(raw, conditions, source, SECOND, index)

    def quantise(
        self, latents: Tensor, features: Tensor, conditions: Conditions
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Round latents (B, M, h, w) pass by pass: symbols (int32), scale indices (uint8), decoded latents."""
        rows = places(latents)
        decoded = torch.zeros_like(rows)
        symbols = torch.empty(latents.shape, dtype=torch.int32)
        index = torch.empty(latents.shape, dtype=torch.uint8)
        before, after = numbers(rows), numbers(decoded)
        integers, scales = (numbers(t.flatten(2)) for t in (symbols, index))
        sizes = latents.shape[-2] * latents.shape[-1], latents.shape[-1]
        for which in self._passes:
            if which == SECOND:
                mean, _ = self.second(features, pictures(decoded, latents), conditions, index)
            else:
                mean, _ = self.first(features, conditions, index)
            loop = partial(
                compiled.quantise, before, numbers(places(mean)), scales, *sizes, which, after, integers
            )
            share(loop, len(before))
        return symbols, index, pictures(decoded, latents)

    def restore(self, mean: Tensor, symbols: Tensor, before: Tensor | None) -> Tensor:
        """Decoded latents (B, M, h, w): means plus symbols (float32) of one pass, the first's ``before`` the second's.

        After the first of two passes, only its latents are right.
        """
        rows = places(mean)
        decoded = torch.zeros_like(rows) if before is None else places(before)
        which = self._passes[0] if before is None else SECOND
        sizes = mean.shape[-2] * mean.shape[-1], mean.shape[-1]
        loop = partial(
            compiled.restore, numbers(rows), numbers(symbols.flatten(2)), *sizes, which, numbers(decoded)
        )
        share(loop, len(rows))
        return pictures(decoded, mean)

    def _head(self, head: ParameterHead, features: Tensor, offset: Tensor) -> Tensor:
        hidden: IntegerPointwise = head.hidden
        out: Tensor = head.out(self._activate(hidden(features), offset, LEAKY_SLOPE))
        return out

    def _activate(
        self, x: Tensor, offset: Tensor | None = None, slope: float = 1.0, added: Tensor | None = None
    ) -> Tensor:
        """clamp(round(leaky(x + offset + added))), over x where that is possible."""
        rows = places(x)
        target = numbers(rows)
        by_picture = NO_FLOATS if offset is None else numbers(offset)
        more = NO_FLOATS if added is None else numbers(places(added))
        per, step = x.shape[-2] * x.shape[-1], self.model.step
        share(partial(compiled.activate, target, by_picture, more, per, slope, step), len(target))
        return pictures(rows, x)

    def _predict(
        self,
        raw: Tensor,
        conditions: Conditions,
        anchors: npt.NDArray[np.float32],
        which: int,
        index: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        rows = places(raw)
        channels = rows.shape[1] // 2
        mean = torch.empty((len(rows), channels), dtype=torch.float32)
        if index is None:
            index = torch.zeros((raw.shape[0], channels, *raw.shape[-2:]), dtype=torch.uint8)
        sizes = raw.shape[-2] * raw.shape[-1], raw.shape[-1]
        inputs = numbers(rows), numbers(conditions.scale_index), anchors, self.taps
        loop = partial(compiled.predict, *inputs, *sizes, which, numbers(mean), numbers(index.flatten(2)))
        share(loop, len(rows))
        return pictures(mean, raw), index
