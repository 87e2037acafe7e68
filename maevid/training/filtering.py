"""The post filter's coefficients, fitted by least squares to what a model makes of training pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import RATE_INDICES
from maevid.model.guide import RADII, guiding, window
from maevid.model.post_filter import (
    ACTIVITIES,
    FEATURES,
    GUIDE,
    KINDS,
    LARGEST,
    NODES,
    SHAPES,
    UNIT_BITS,
    PostFilter,
    cell_sums,
    classes,
    filtered_features,
    node_of,
    padded,
)
from maevid.training.crops import CROP, byte_crops
from maevid.training.pictures import Pictures
from maevid.video.frame import Plane

FILTERED_CROPS = 3072
_SUMMED = 36
"""Samples that an activity is summed over."""
_LOWEST, _OCTAVES = -6.5, 0.55
"""The lowest limit of an activity, as log2 of quantiser steps a sample, and how far apart they are."""
_CUTS = (0.25, 1.0)
"""Quantiser steps that differences are cut to."""
_FLAT = 0.0125, 0.1
"""What luma's variance has to exceed for chroma to follow it: this part of a squared quantiser step, and a tenth."""
_NEIGHBOUR = 0.5
"""How much the sums of the next ranges of rate indices count, for filters that change little from one to the next."""
_RELATIVE, _ABSOLUTE = 1e-3, 2000.0
"""What is added to each square: this part of their mean, and this many squared levels. Rare classes do little."""
_WINDOWS = np.array([window(radius) for radius in RADII])


def fitted_filter(checkpoint: Checkpoint, pictures: Pictures) -> PostFilter:
    """The filter that leaves the least squared error of up to :data:`FILTERED_CROPS` crops of training pictures.

    At rate indices drawn from all of the network's, from a fixed seed. ``checkpoint`` has no post filter yet.
    """
    codec = MaeCodec(checkpoint, CodecOptions(device="cpu"))
    network, random = codec.network, np.random.default_rng(0)
    steps = _quantiser_steps(network.model)
    sums = {
        "luma": _Sums(steps),
        "chroma": _Sums(steps, np.outer(_FLAT[0] * steps**2 + _FLAT[1], _WINDOWS**2)),
    }
    for sources in byte_crops(pictures, FILTERED_CROPS, random, "post filter"):
        rates = random.choice(codec.rate_indices, len(sources)).tolist()
        indices = network.index_tensor(rates)
        latents = network.quantise(network.analyse(network.load(sources), indices), indices).latents
        decoded = network.synthesise(latents, indices, CROP, CROP)
        for before, after, rate in zip(sources, decoded, rates, strict=True):
            guide = padded(guiding(after[0]))
            for name, source, plane in zip(KINDS, before, after, strict=True):
                sums[name].add(source, plane, guide, node_of(rate))
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, found in sums.items():
        arrays |= {
            f"filter.{name}": found.filters(),
            f"limit.{name}": found.limits,
            f"cut.{name}": found.cuts,
        }
    arrays[GUIDE] = sums["chroma"].ridges
    return PostFilter(arrays)


def _quantiser_steps(model: ModulatedAutoencoder) -> npt.NDArray[np.float64]:
    """The best quantiser step in the middle of each range of rate indices, in levels, (NODES,)."""
    config = model.config
    middles = [round((node + 0.5) * RATE_INDICES / NODES) for node in range(NODES)]
    positions = torch.tensor([config.position(config.lam(index)) for index in middles], dtype=torch.float64)
    steps: npt.NDArray[np.float64] = 255 * torch.exp(-model.log_step_inverse(positions)).numpy()
    return steps


class _Sums:
    """The normal equations of every filter of one kind of plane, guided where it has ``ridges`` (NODES, 2)."""

    def __init__(self, steps: npt.NDArray[np.float64], ridges: npt.NDArray[np.float64] | None = None) -> None:
        self.ridges = np.empty((NODES, 0), np.int32) if ridges is None else np.round(ridges).astype(np.int32)
        count = FEATURES + self.ridges.shape[1]
        octaves = _LOWEST + _OCTAVES * np.arange(ACTIVITIES - 1)
        limits = np.round(_SUMMED * steps[:, None] * np.exp2(octaves))
        self.limits = np.maximum(1, limits).astype(np.int32)
        self.cuts = np.round(np.outer(steps, _CUTS)).clip(1, 255).astype(np.int32)
        self._squares = np.zeros((NODES, SHAPES, count, count))
        self._products = np.zeros((NODES, SHAPES, count))

    def add(self, source: Plane, decoded: Plane, guide: npt.NDArray[np.int16], node: int) -> None:
        """Count the samples of a plane of even size."""
        samples = padded(decoded)
        found = classes(cell_sums(samples), self.limits[node], 1)
        which = found.repeat(2, 0).repeat(2, 1).ravel()
        order = np.argsort(which.astype(np.int16), kind="stable")
        each = filtered_features(samples, self.cuts[node], guide, self.ridges[node])
        features = np.stack([feature.ravel().astype(np.float32)[order] for feature in each])
        missing = (source.astype(np.float32) - decoded).ravel()[order]
        present, starts = np.unique(which[order], return_index=True)
        for number, start, end in zip(present, starts, [*starts[1:], len(order)], strict=True):
            part = features[:, start:end]
            self._squares[node, number] += part @ part.T
            self._products[node, number] += part @ missing[start:end]

    def filters(self) -> npt.NDArray[np.int16]:
        """Coefficients, int16 (NODES, classes, 36), with a guide 38."""
        squares, products = _smoothed(self._squares), _smoothed(self._products)
        count = squares.shape[-1]
        mean = np.trace(squares, axis1=2, axis2=3) / count
        ridge = (_RELATIVE * mean + _ABSOLUTE)[..., None, None] * np.eye(count)
        found = np.linalg.solve(squares + ridge, products[..., None])[..., 0]
        return np.round(found * (1 << UNIT_BITS)).clip(-LARGEST, LARGEST).astype(np.int16)


def _smoothed(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each with its neighbours along the first axis, which count less."""
    out = sums.copy()
    out[1:] += _NEIGHBOUR * sums[:-1]
    out[:-1] += _NEIGHBOUR * sums[1:]
    return out
