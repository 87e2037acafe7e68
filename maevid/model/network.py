"""A loaded model at work: planes to integer symbols and back, in batches, at any rate index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maevid.model import fused, trellis
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import RATE_INDICES
from maevid.model.device import Placement
from maevid.model.factorized import FactorizedModel
from maevid.model.passes import pass_masks
from maevid.model.post_filter import NOT_ADJUSTED, Adjustments
from maevid.model.prior import (
    HYPER_FACTOR,
    HYPER_LIMIT,
    SKIP_BELOW,
    Conditions,
    EntropyModel,
    HyperAnalysis,
    anchor_mask,
)
from maevid.model.quantiser import OFFSETS, rounding_offsets
from maevid.model.representation import CHROMA_STEP, LUMA_STEP
from maevid.model.transforms import ALIGNMENT, Analysis, Gains, Synthesis
from maevid.model.trellis import Search
from maevid.video.frame import Plane

if TYPE_CHECKING:
    from maevid.model.fused.entropy import FusedEntropy

Rounding = Callable[[Tensor, Tensor, Conditions], tuple[Tensor, Tensor, Tensor]]
"""Of unrounded latents, features and conditions: symbols, their tables and decoded latents."""


@dataclass(frozen=True)
class Quantised:
    """The integers of a batch: hyper-latents z (B, Z, ·, ·), symbols of y and their tables (B, M, h, w), and y itself.

    ``latents`` are the decoded latents. ``tables`` are the scale indices of symbols, or where the model has two
    quantisers in turn, the tables of these; symbols are zero and not coded where it is below :data:`SKIP_BELOW`.
    """

    hyper: Tensor
    symbols: Tensor
    tables: Tensor
    latents: Tensor

    def integers_on_cpu(self) -> Quantised:
        """The same with all but ``latents`` in the CPU's memory, one transfer for each; nothing moves that is there."""
        return Quantised(self.hyper.cpu(), self.symbols.cpu(), self.tables.cpu(), self.latents)


class Network:
    """Runs one checkpoint on one device. Decisions about probabilities are exact, samples may differ by a level or so.

    ``fused`` says whether compiled loops do the element-wise work, ``fused_transforms`` whether in the transforms too,
    ``entropy_precision`` in which type the entropy networks multiply, in ``entropy_parts`` products for each.
    """

    def __init__(self, checkpoint: Checkpoint, placement: Placement) -> None:
        self.config = checkpoint.config
        self.placement = placement
        self.model = checkpoint.model().to(placement.device)
        self.model.requires_grad_(False)
        self.two_passes = self.model.entropy.two_passes
        self.post_filter = checkpoint.post_filter
        self.tables = checkpoint.tables()
        self._costs = trellis.costs_of(self.tables) if self.config.trellis else None
        self._analysis: Callable[[Tensor, Gains], Tensor] = self._analyse_unfused
        self._hyper_analysis: Callable[[Tensor, Gains], Tensor] = self.model.hyper_analysis
        self._synthesis: Callable[[Tensor, Gains], Tensor] = self.model.synthesise
        self._entropy: FusedEntropy | EntropyModel | FactorizedModel = self.model.entropy
        self._load: Callable[[Sequence[tuple[Plane, Plane, Plane]], int, int], Tensor] = self._load_unfused
        self._levels = self._levels_unfused
        self._quantise = self._quantise_unfused
        self._restore = self._restore_unfused
        self._deviations = self._deviations_unfused
        self.entropy_precision, self.entropy_parts = "float32", 1
        self.fused_transforms = False
        self.fused = placement.device.type == "cpu" and fused.available()
        if self.fused:
            self._fuse()
        self._rounding = self.rounding()
        stored = checkpoint.conditions()
        self._conditions = Conditions(
            **{f.name: getattr(stored, f.name).to(placement.device) for f in fields(stored)}
        )
        self._gains = self._tabulate_gains()
        self.hyper_table = stored.hyper_index.numpy().astype(np.int16)

    def _fuse(self) -> None:
        from maevid.model.fused import planes
        from maevid.model.fused.entropy import FusedEntropy
        from maevid.model.fused.transforms import FusedAnalysis, FusedHyperAnalysis, FusedSynthesis

        model = self.model
        if isinstance(model.entropy, EntropyModel):
            self._entropy = fused_entropy = FusedEntropy(model.entropy)
            self._quantise, self._restore = fused_entropy.quantise, fused_entropy.restore
            self._deviations = fused_entropy.deviations
            self.entropy_precision = str(fused_entropy.levels.dtype).removeprefix("torch.")
            self.entropy_parts = fused_entropy.levels.parts
        if self.placement.dtype == torch.bfloat16 and self.config.units == "quantiser":
            if isinstance(model.analysis, Analysis) and isinstance(model.synthesis, Synthesis):
                self._analysis, self._synthesis = (
                    FusedAnalysis(model.analysis),
                    FusedSynthesis(model.synthesis),
                )
                self.fused_transforms = True
                self._load = partial(planes.load, levels=self.config.lapped)
                self._levels = self._levels_fused
            if isinstance(model.hyper_analysis, HyperAnalysis):
                self._hyper_analysis = FusedHyperAnalysis(model.hyper_analysis)

    def conditions(self, rate_indices: Tensor) -> Conditions:
        """The rows of the baked tables for rate indices (B,)."""
        return Conditions(
            **{f.name: getattr(self._conditions, f.name)[rate_indices] for f in fields(self._conditions)}
        )

    @torch.inference_mode()
    def _tabulate_gains(self) -> Gains:
        """The gains at all 256 rate indices, made row by row.

        A matrix product may sum in another order for another number of rows or threads, and one last bit of a gain
        would change the bytes of a file.
        """
        positions = torch.linspace(-1, 1, RATE_INDICES, dtype=torch.float32, device=self.placement.device)
        rows = [self.model.gains(position[None]).tables() for position in positions]
        columns = iter(torch.cat(column) for column in zip(*rows, strict=True))
        return self.model.gains(positions[:1]).map(lambda _: next(columns))

    def index_tensor(self, rate_indices: Sequence[int]) -> Tensor:
        """Rate indices as a tensor on the device. Raises ValueError outside 0..255."""
        if any(not 0 <= i < RATE_INDICES for i in rate_indices):
            raise ValueError(f"rate indices go from 0 to {RATE_INDICES - 1}")
        return torch.tensor(list(rate_indices), device=self.placement.device)

    def load(self, frames: Sequence[tuple[Plane, Plane, Plane]]) -> Tensor:
        """Planes of frames of one size as :meth:`analyse` takes them, edges repeated up to multiples of 16."""
        height, width = frames[0][0].shape
        step = ALIGNMENT // LUMA_STEP
        return self._load(frames, -(-height // ALIGNMENT) * step, -(-width // ALIGNMENT) * step)

    def samples(self, loaded: Tensor) -> Tensor:
        """What :meth:`load` gave as the representation that the model packs, in 0..1, float32."""
        if not self.fused_transforms:
            return loaded
        return loaded.float().add_(127.5).div_(255) if self.config.lapped else loaded.float().add_(0.5)

    def _load_unfused(self, frames: Sequence[tuple[Plane, Plane, Plane]], rows: int, columns: int) -> Tensor:
        stacks = []
        for number in range(3):
            stack = np.stack([frame[number] for frame in frames])[:, None]
            side = LUMA_STEP if number == 0 else CHROMA_STEP
            below, right = rows * side - stack.shape[2], columns * side - stack.shape[3]
            if below or right:
                stack = np.pad(stack, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
            stacks.append(self._on_device(stack))
        return self.model.representation.load(stacks[0], stacks[1], stacks[2])

    @torch.inference_mode()
    def analyse(self, source: Tensor, rate_indices: Tensor) -> Tensor:
        """What :meth:`load` gives to unrounded latents (B, M, h, w) in quantiser units; float work, encoder only."""
        with self.autocast():
            return self._analysis(source, self.gains(rate_indices))

    def _analyse_unfused(self, source: Tensor, gains: Gains) -> Tensor:
        return self.model.analyse(source - 0.5, gains)

    def quantise(self, latents: Tensor, rate_indices: Tensor) -> Quantised:
        """Round latents pass by pass around the means that the decoder will have."""
        return self.quantiser(latents, rate_indices, self._rounding)(latents)

    def rounding(self, rate_weight: float | None = None) -> Rounding:
        """How :meth:`quantiser` chooses symbols.

        ``rate_weight`` is µ of :mod:`maevid.model.quantiser` or :mod:`maevid.model.trellis`, whose own is the default.
        """
        if self._costs is not None:
            search = Search(self._costs, trellis.RATE_WEIGHT if rate_weight is None else rate_weight)
            return partial(self._quantise_in_turn, search=search)
        offsets = OFFSETS if rate_weight is None else rounding_offsets(rate_weight)
        return partial(self._quantise, offsets=offsets)

    @torch.inference_mode()
    def quantiser(
        self, latents: Tensor, rate_indices: Tensor, rounding: Rounding
    ) -> Callable[[Tensor], Quantised]:
        """What quantises latents with the hyper-latents that these have, again and again."""
        with self.autocast():
            z = self._hyper_analysis(latents, self.gains(rate_indices))
        z = torch.round(z).clamp(-HYPER_LIMIT, HYPER_LIMIT)
        hyper, conditions = z.to(torch.int32), self.conditions(rate_indices)
        with self._exactly():
            features = self._entropy.features(z, conditions, *latents.shape[-2:])

        @torch.inference_mode()
        def rounded(latents: Tensor) -> Quantised:
            with self._exactly():
                return Quantised(hyper, *rounding(latents, features, conditions))

        return rounded

    def _quantise_in_turn(
        self, latents: Tensor, features: Tensor, conditions: Conditions, search: Search
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols (int32), their tables (int16) and decoded latents, pass by pass.

        The search goes from latent to latent, as entropy coding does, and like that runs on the CPU.
        """
        symbols, tables = np.zeros(latents.shape, np.int32), np.zeros(latents.shape, np.int16)
        decoded: Tensor | None = None
        for which in pass_masks(*latents.shape[1:], self.two_passes):
            if decoded is None:
                mean, index = self.first(features, conditions)
            else:
                mean, index = self.second(features, decoded, conditions)
            deviations = self._deviations(mean, latents, second=decoded is not None).cpu().numpy()
            restored = np.zeros(latents.shape, np.float32)
            for row in range(len(latents)):
                found = search.in_pass(which, deviations[row], index[row], restored[row])
                symbols[row].put(found.at, found.symbols)
                tables[row].put(found.at, found.tables)
            decoded = self.restore(mean, restored, decoded)
        assert decoded is not None
        return torch.from_numpy(symbols), torch.from_numpy(tables), decoded

    @staticmethod
    def _deviations_unfused(mean: Tensor, latents: Tensor, *, second: bool) -> Tensor:
        """Latents less means, right where the first or the second pass codes."""
        return latents - mean

    def _quantise_unfused(
        self, latents: Tensor, features: Tensor, conditions: Conditions, offsets: Tensor = OFFSETS
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols (int32), their scale indices (uint8) and decoded latents, pass by pass."""
        entropy = self.model.entropy
        rounded = partial(self.model.symbols, offsets=offsets)
        mean, index = entropy.first(features, conditions)
        symbols = rounded(latents - mean, index) * (index >= SKIP_BELOW)
        if isinstance(entropy, EntropyModel) and self.two_passes:
            anchor = anchor_mask(latents)
            anchors = torch.where(anchor, symbols + mean, 0.0)
            mean_2, index_2 = entropy.second(features, anchors, conditions)
            symbols_2 = rounded(latents - mean_2, index_2) * (index_2 >= SKIP_BELOW)
            mean = torch.where(anchor, mean, mean_2)
            index = torch.where(anchor, index, index_2)
            symbols = torch.where(anchor, symbols, symbols_2)
        return symbols.to(torch.int32), index.to(torch.uint8), symbols + mean

    def levels(self, latents: Tensor) -> npt.NDArray[np.int32]:
        """Decoded latents in steps of the means' grid, int32, as the packet's latent check covers them."""
        whole: npt.NDArray[np.int32] = (latents * (1 / self.config.mean_step)).to(torch.int32).cpu().numpy()
        return whole

    @torch.inference_mode()
    def features(
        self, hyper: npt.NDArray[np.int32], conditions: Conditions, height: int, width: int
    ) -> Tensor:
        """Decoded hyper-latents (B, Z, ·, ·) to the entropy model's features at the latents' size (height, width)."""
        z = self._on_device(hyper).to(torch.float32)
        with self._exactly():
            return self._entropy.features(z, conditions, height, width)

    @torch.inference_mode()
    def first(self, features: Tensor, conditions: Conditions) -> tuple[Tensor, npt.NDArray[np.uint8]]:
        """Means (B, M, h, w) and scale indices of the first pass."""
        with self._exactly():
            mean, index = self._entropy.first(features, conditions)
        return mean, index.to(torch.uint8).cpu().numpy()

    @torch.inference_mode()
    def second(
        self, features: Tensor, anchors: Tensor, conditions: Conditions
    ) -> tuple[Tensor, npt.NDArray[np.uint8]]:
        """Means and scale indices of the second pass from the first's latents (zero elsewhere)."""
        assert not isinstance(self._entropy, FactorizedModel)
        with self._exactly():
            mean, index = self._entropy.second(features, anchors, conditions)
        return mean, index.to(torch.uint8).cpu().numpy()

    @torch.inference_mode()
    def restore(self, mean: Tensor, symbols: npt.NDArray[np.float32], before: Tensor | None = None) -> Tensor:
        """Decoded latents (B, M, h, w) from one pass's means and symbols, of that size, and the first's latents.

        After the first of two passes, only its latents are right.
        """
        return self._restore(mean, self._on_device(symbols), before)

    def _restore_unfused(self, mean: Tensor, symbols: Tensor, before: Tensor | None) -> Tensor:
        decoded = mean + symbols
        if not self.two_passes:
            return decoded
        anchor = anchor_mask(mean)
        return torch.where(anchor, decoded, 0.0) if before is None else torch.where(anchor, before, decoded)

    def synthesise(
        self,
        latents: Tensor,
        rate_indices: Tensor,
        height: int,
        width: int,
        adjustments: Sequence[Adjustments] | None = None,
    ) -> list[tuple[Plane, Plane, Plane]]:
        """Decoded latents (B, M, h, w) to 8-bit planes, cropped to ``height`` × ``width`` luma samples, filtered.

        ``adjustments`` are what each picture changes of the post filter, if any.
        """
        decoded = self.reconstruct(latents, rate_indices)
        return self.filtered(self.unfiltered(decoded, rate_indices, height, width), rate_indices, adjustments)

    @torch.inference_mode()
    def reconstruct(self, latents: Tensor, rate_indices: Tensor) -> Tensor:
        """Decoded latents (B, M, h, w) to what :meth:`unfiltered` takes. A GPU is still at work when this returns."""
        with self.autocast():
            decoded: Tensor = self._synthesis(latents, self.gains(rate_indices))
        return decoded

    @torch.inference_mode()
    def unfiltered(
        self, decoded: Tensor, rate_indices: Tensor, height: int, width: int
    ) -> list[tuple[Plane, Plane, Plane]]:
        """8-bit planes, cropped to ``height`` × ``width`` luma samples, before the filter. Uses up ``decoded``."""
        return self._levels(decoded, rate_indices, height, width)

    def filtered(
        self,
        pictures: list[tuple[Plane, Plane, Plane]],
        rate_indices: Tensor,
        adjustments: Sequence[Adjustments] | None = None,
    ) -> list[tuple[Plane, Plane, Plane]]:
        """Planes of pictures through the model's post filter, where it has one; always on the CPU."""
        if self.post_filter is None:
            return pictures
        return [
            self.post_filter(planes, index, changes)
            for planes, index, changes in zip(
                pictures,
                rate_indices.tolist(),
                adjustments or [NOT_ADJUSTED] * len(pictures),
                strict=True,
            )
        ]

    def _levels_fused(
        self, decoded: Tensor, rate_indices: Tensor, height: int, width: int
    ) -> list[tuple[Plane, Plane, Plane]]:
        from maevid.model.fused import laps, planes

        lapping = self._gains.lapping
        if lapping is None:
            return planes.levels(decoded, height, width)
        return laps.levels(decoded, lapping[rate_indices], height, width)

    def _levels_unfused(
        self, decoded: Tensor, rate_indices: Tensor, height: int, width: int
    ) -> list[tuple[Plane, Plane, Plane]]:
        planes = []
        for number, plane in enumerate(self.model.representation.levels(decoded.add_(0.5))):
            rows, columns = (height, width) if number == 0 else ((height + 1) // 2, (width + 1) // 2)
            planes.append(plane[:, 0, :rows, :columns].contiguous().cpu().numpy())
        return [(planes[0][i], planes[1][i], planes[2][i]) for i in range(len(decoded))]

    def whole(self, decoded: Tensor, rate_indices: Tensor) -> list[tuple[Plane, Plane, Plane]]:
        """What the model's synthesis gives as planes of multiples of 16 samples, before the filter. It is used up."""
        rows, columns = decoded.shape[-2:]
        return self._levels_unfused(decoded, rate_indices, rows * LUMA_STEP, columns * LUMA_STEP)

    def samples_of(self, pictures: Sequence[tuple[Plane, Plane, Plane]]) -> Tensor:
        """Planes of pictures of such a size as :meth:`samples` has them."""
        height, width = pictures[0][0].shape
        return self._load_unfused(pictures, height // LUMA_STEP, width // LUMA_STEP)

    def hyper_size(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape (Z, rows, columns) of the hyper-latents of a ``height`` × ``width`` picture."""
        h, w = self.latent_size(height, width)[1:]
        return self.config.hyper_latents, -(-h // HYPER_FACTOR), -(-w // HYPER_FACTOR)

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape (M, rows, columns) of the latents of a ``height`` × ``width`` picture."""
        return self.config.latents, -(-height // ALIGNMENT), -(-width // ALIGNMENT)

    def _on_device(self, array: npt.NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.placement.device.type == "cuda":
            # From pageable memory the copy would wait for all that the GPU has been given before.
            tensor = tensor.pin_memory()
        return tensor.to(self.placement.device, non_blocking=True)

    def gains(self, rate_indices: Tensor) -> Gains:
        """The rows of the tabulated gains for rate indices (B,)."""
        return self._gains.map(lambda table: table[rate_indices])

    def _exactly(self) -> torch.autocast:
        """No autocast, not even one that the caller runs under."""
        return torch.autocast(self.placement.device.type, enabled=False)

    def autocast(self) -> torch.autocast:
        """The transforms' precision, as a context."""
        dtype = self.placement.dtype
        return torch.autocast(self.placement.device.type, dtype, enabled=dtype != torch.float32)
