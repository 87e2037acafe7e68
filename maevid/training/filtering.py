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
from maevid.model.post_filter import (
    ACTIVITIES,
    FEATURES,
    KINDS,
    NODES,
    PHASES,
    SHAPES,
    UNIT_BITS,
    PostFilter,
    around,
    cell_sums,
    classes,
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
_NEIGHBOUR = 0.5
"""How much the sums of the next ranges of rate indices count, for filters that change little from one to the next."""
_RELATIVE, _ABSOLUTE = 1e-3, 2000.0
"""What is added to each square: this part of their mean, and this many squared levels. Rare classes do little."""
_LARGEST = np.iinfo(np.int16).max


def fitted_filter(checkpoint: Checkpoint, pictures: Pictures) -> PostFilter:
    """The filter that leaves the least squared error of up to :data:`FILTERED_CROPS` crops of training pictures.

    At rate indices drawn from all of the network's, from a fixed seed. ``checkpoint`` has no post filter yet.
    """
    codec = MaeCodec(checkpoint, CodecOptions(device="cpu"))
    network, random = codec.network, np.random.default_rng(0)
    steps = _quantiser_steps(network.model)
    sums = {name: _Sums(steps, phases) for name, phases in PHASES.items()}
    for sources in byte_crops(pictures, FILTERED_CROPS, random, "post filter"):
        rates = random.choice(codec.rate_indices, len(sources)).tolist()
        indices = network.index_tensor(rates)
        latents = network.quantise(network.analyse(network.load(sources), indices), indices).latents
        decoded = network.synthesise(latents, indices, CROP, CROP)
        for before, after, rate in zip(sources, decoded, rates, strict=True):
            for name, source, plane in zip(KINDS, before, after, strict=True):
                sums[name].add(source, plane, node_of(rate))
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, found in sums.items():
        arrays |= {
            f"filter.{name}": found.filters(),
            f"limit.{name}": found.limits,
            f"cut.{name}": found.cuts,
        }
    return PostFilter(arrays)


def _quantiser_steps(model: ModulatedAutoencoder) -> npt.NDArray[np.float64]:
    """The best quantiser step in the middle of each range of rate indices, in levels, (NODES,)."""
    config = model.config
    middles = [round((node + 0.5) * RATE_INDICES / NODES) for node in range(NODES)]
    positions = torch.tensor([config.position(config.lam(index)) for index in middles], dtype=torch.float64)
    steps: npt.NDArray[np.float64] = 255 * torch.exp(-model.log_step_inverse(positions)).numpy()
    return steps


class _Sums:
    """The normal equations of every filter of one kind of plane."""

    def __init__(self, steps: npt.NDArray[np.float64], phases: int) -> None:
        self._phases = phases
        octaves = _LOWEST + _OCTAVES * np.arange(ACTIVITIES - 1)
        limits = np.round(_SUMMED * steps[:, None] * np.exp2(octaves))
        self.limits = np.maximum(1, limits).astype(np.int32)
        self.cuts = np.round(np.outer(steps, _CUTS)).clip(1, 255).astype(np.int32)
        self._squares = np.zeros((NODES, phases * SHAPES, FEATURES, FEATURES))
        self._products = np.zeros((NODES, phases * SHAPES, FEATURES))

    def add(self, source: Plane, decoded: Plane, node: int) -> None:
        """Count the samples of a plane of even size."""
        samples = padded(decoded)
        found = classes(cell_sums(samples), self.limits[node], self._phases)
        which = found.repeat(2, 0).repeat(2, 1).ravel()
        order = np.argsort(which.astype(np.int16), kind="stable")
        features = np.stack(
            [feature.ravel().astype(np.float32)[order] for feature in around(samples, self.cuts[node])]
        )
        missing = (source.astype(np.float32) - decoded).ravel()[order]
        present, starts = np.unique(which[order], return_index=True)
        for number, start, end in zip(present, starts, [*starts[1:], len(order)], strict=True):
            part = features[:, start:end]
            self._squares[node, number] += part @ part.T
            self._products[node, number] += part @ missing[start:end]

    def filters(self) -> npt.NDArray[np.int16]:
        """Coefficients, int16 (NODES, classes, 36)."""
        squares, products = _smoothed(self._squares), _smoothed(self._products)
        mean = np.trace(squares, axis1=2, axis2=3) / FEATURES
        ridge = (_RELATIVE * mean + _ABSOLUTE)[..., None, None] * np.eye(FEATURES)
        found = np.linalg.solve(squares + ridge, products[..., None])[..., 0]
        return np.round(found * (1 << UNIT_BITS)).clip(-_LARGEST, _LARGEST).astype(np.int16)


def _smoothed(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each with its neighbours along the first axis, which count less."""
    out = sums.copy()
    out[1:] += _NEIGHBOUR * sums[:-1]
    out[:-1] += _NEIGHBOUR * sums[1:]
    return out
