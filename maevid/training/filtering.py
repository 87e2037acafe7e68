"""The post filter's coefficients, fitted by least squares to what a model makes of training pictures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import RATE_INDICES, ModelConfig
from maevid.model.post_filter import (
    ACTIVITIES,
    NODES,
    PHASES,
    SHAPES,
    TAPS,
    UNIT_BITS,
    PostFilter,
    around,
    cell_sums,
    classes,
    node_of,
    padded,
)
from maevid.model.representation import to_levels
from maevid.training.pictures import Pictures
from maevid.video.frame import Plane

FILTERED_CROPS = 1536
_CROP = 256
_AT_ONCE = 8
_SUMMED = 36
"""Samples that an activity is summed over."""
_LOWEST, _OCTAVES = -6.5, 0.55
"""The lowest limit of an activity, as log2 of quantiser steps a sample, and how far apart they are."""
_NEIGHBOUR = 0.5
"""How much the sums of the next ranges of rate indices count, for filters that change little from one to the next."""
_RELATIVE, _ABSOLUTE = 1e-3, 2000.0
"""What is added to each square: this part of their mean, and this many squared levels. Rare classes do little."""
_LARGEST = np.iinfo(np.int16).max


def fitted_filter(checkpoint: Checkpoint, pictures: Pictures) -> PostFilter:
    """The filter that leaves the least squared error of :data:`FILTERED_CROPS` crops of training pictures.

    Crops of 256×256 luma samples at rate indices drawn from all of the network's, from a fixed seed. ``checkpoint`` has
    no post filter yet.
    """
    codec = MaeCodec(checkpoint, CodecOptions(device="cpu"))
    network, random = codec.network, np.random.default_rng(0)
    sums = {name: _Sums(checkpoint.config, phases) for name, phases in PHASES.items()}
    for _ in range(FILTERED_CROPS // _AT_ONCE):
        y, u, v = (to_levels(plane)[:, 0].numpy() for plane in pictures.batch(_AT_ONCE, _CROP, random))
        sources = list(zip(y, u, v, strict=True))
        rates = random.choice(codec.rate_indices, _AT_ONCE).tolist()
        indices = network.index_tensor(rates)
        latents = network.quantise(network.analyse(network.load(sources), indices), indices).latents
        decoded = network.synthesise(latents, indices, _CROP, _CROP)
        for before, after, rate in zip(sources, decoded, rates, strict=True):
            for number, name in enumerate(("luma", "chroma", "chroma")):
                sums[name].add(before[number], after[number], node_of(rate))
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, found in sums.items():
        arrays |= {f"filter.{name}": found.filters(), f"limit.{name}": found.limits}
    return PostFilter(arrays)


def activity_limits(config: ModelConfig) -> npt.NDArray[np.int32]:
    """The limits of activities for each range of rate indices: fixed fractions of its quantiser step, in levels."""
    rows = []
    for node in range(NODES):
        lam = config.lam(round((node + 0.5) * RATE_INDICES / NODES))
        # The best step of ModulatedAutoencoder.log_step_inverse.
        step = 255 / math.sqrt(lam * 255**2 * math.log(2) / 6)
        exponents = _LOWEST + _OCTAVES * np.arange(ACTIVITIES - 1)
        rows.append(np.maximum(1, np.round(_SUMMED * step * np.exp2(exponents))))
    return np.array(rows, np.int32)


class _Sums:
    """The normal equations of every filter of one kind of plane."""

    def __init__(self, config: ModelConfig, phases: int) -> None:
        self.limits, self._phases = activity_limits(config), phases
        self._squares = np.zeros((NODES, phases * SHAPES, len(TAPS), len(TAPS)))
        self._products = np.zeros((NODES, phases * SHAPES, len(TAPS)))

    def add(self, source: Plane, decoded: Plane, node: int) -> None:
        """Count the samples of a plane of even size."""
        samples = padded(decoded)
        found = classes(cell_sums(samples), self.limits[node], self._phases)
        which = found.repeat(2, 0).repeat(2, 1).ravel()
        order = np.argsort(which.astype(np.int16), kind="stable")
        features = around(samples).reshape(len(TAPS), -1).astype(np.float32)[:, order]
        missing = (source.astype(np.float32) - decoded).ravel()[order]
        present, starts = np.unique(which[order], return_index=True)
        for number, start, end in zip(present, starts, [*starts[1:], len(order)], strict=True):
            part = features[:, start:end]
            self._squares[node, number] += part @ part.T
            self._products[node, number] += part @ missing[start:end]

    def filters(self) -> npt.NDArray[np.int16]:
        """Coefficients, int16 (NODES, classes, 12)."""
        squares, products = _smoothed(self._squares), _smoothed(self._products)
        mean = np.trace(squares, axis1=2, axis2=3) / len(TAPS)
        ridge = (_RELATIVE * mean + _ABSOLUTE)[..., None, None] * np.eye(len(TAPS))
        found = np.linalg.solve(squares + ridge, products[..., None])[..., 0]
        return np.round(found * (1 << UNIT_BITS)).clip(-_LARGEST, _LARGEST).astype(np.int16)


def _smoothed(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each with its neighbours along the first axis, which count less."""
    out = sums.copy()
    out[1:] += _NEIGHBOUR * sums[:-1]
    out[:-1] += _NEIGHBOUR * sums[1:]
    return out
