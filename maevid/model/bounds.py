"""Proof, from a model file's integers alone, that no sum of its entropy networks can leave float32's integers.

Every layer adds products of activations (at most 8) and integer weights, a bias, and what a rate index or
another layer adds, each a multiple of a power of two. A partial sum, in whatever order and however fused, is a
multiple of the finest of these grids and no larger than the sum of all magnitudes. Where that, counted in steps
of the grid, stays below 2^24, float32 holds every partial sum exactly. What happens to a sum afterwards (the
leaky slope 2^-3, the factor 4 of scale indices, adding the half step of a rounding) is counted too.

On ARM PyTorch computes 3×3 depthwise convolutions with Winograd's F(2×2, 3×3), which adds and halves before it
multiplies: its sums are bounded as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maevid.errors import ModelError
from maevid.model.config import RATE_INDICES, ModelConfig
from maevid.model.integer import (
    ACTIVATION_LIMIT,
    EXACT_SUM_LIMIT,
    LEAKY_SLOPE,
    MAX_EXPONENT,
    OFFSET_STEP,
    LinearPredictor,
)
from maevid.model.prior import INDEX_GAIN, INDEX_STEP, MEAN_LIMIT, SCALES

Array = npt.NDArray[Any]


def largest_sums(config: ModelConfig, arrays: Mapping[str, Array]) -> dict[str, float]:
    """The largest magnitude that any partial sum can reach after each layer, in steps of its finest grid.

    ``arrays`` are those of a :class:`~maevid.model.checkpoint.Checkpoint`. Raises ModelError when they are not what
    the configuration asks for: a layer missing, or of another type or shape.
    """
    m, h, z = config.latents, config.hyper, config.hyper_latents
    added = {
        name: taken(arrays, f"offset.{name}", np.int32, (RATE_INDICES, channels))
        for name, channels in (
            ("hyper", h),
            ("first", h),
            ("second", h),
            ("scale_index", m),
            ("hyper_index", z),
        )
    }
    if config.prior == "factorized":
        # One integer is all that decides a probability: nothing is added up.
        return {}
    if added["hyper_index"].min() < 0 or added["hyper_index"].max() >= SCALES:
        raise ModelError(f"model {config.name}: tables of hyper-latents must lie in 0..{SCALES - 1}")
    peaks = {name: _magnitude(rows).max(0) for name, rows in added.items()}
    layers = _Layers(arrays, config.activation_step)
    sums = {
        "up_1": layers.pointwise("up_1", z, 4 * h, np.repeat(peaks["hyper"], 4) * OFFSET_STEP, OFFSET_STEP),
        "spatial_1": layers.depthwise("spatial_1", h),
        "up_2": layers.pointwise("up_2", h, 4 * h),
        "spatial_2": layers.depthwise("spatial_2", h),
    }
    heads = {"head_1": "first"}
    predicted = 0.0
    if config.prior == "checkerboard":
        heads["head_2"] = "second"
        sums["context_spatial"] = layers.depthwise("context_spatial", m)
        # The features that are added are activations.
        features = np.full(h, ACTIVATION_LIMIT)
        sums["context_mix"] = layers.pointwise("context_mix", m, h, features, config.activation_step)
        weight = _magnitude(taken(arrays, "int.entropy.predictor.weight", np.int8, (m, 1, 3, 3)))
        if weight.max() * LinearPredictor.WEIGHT_STEP > 1:
            raise ModelError(f"model {config.name}: a weight of the predictor is beyond 1")
        inputs = LinearPredictor.INPUT_LIMIT / LinearPredictor.INPUT_STEP
        step = LinearPredictor.INPUT_STEP * LinearPredictor.WEIGHT_STEP
        sums["predictor"] = float(weight.sum((1, 2, 3)).max()) * inputs + config.mean_step / 2 / step
        predicted = sums["predictor"] * step
    for head, offset in heads.items():
        sums[f"{head}.hidden"] = layers.pointwise(
            f"{head}.hidden", h, h, peaks[offset] * OFFSET_STEP, OFFSET_STEP
        )
        worst, unit = layers.direct(f"{head}.out", (2 * m, h))
        mean, index = worst[:m] * unit[:m], worst[m:] * unit[m:] * INDEX_GAIN
        index += peaks["scale_index"] * INDEX_STEP + INDEX_STEP / 2
        sums[f"{head}.out"] = max(
            float(((mean + config.mean_step / 2) / np.minimum(unit[:m], config.mean_step / 2)).max()),
            float((mean.max() + predicted + MEAN_LIMIT) / config.mean_step),
            float((index / np.minimum(unit[m:] * INDEX_GAIN, INDEX_STEP / 2)).max()),
        )
    return sums


def check_sums(config: ModelConfig, arrays: Mapping[str, Array]) -> None:
    """Raises ModelError when a sum could reach 2^24 steps, so that machines might round it differently."""
    for layer, largest in largest_sums(config, arrays).items():
        if largest >= EXACT_SUM_LIMIT:
            raise ModelError(
                f"model {config.name}: sums of the entropy layer {layer} can reach {largest:.3g} steps, from "
                f"{EXACT_SUM_LIMIT} on they are not exact; train on with smaller weights"
            )


def taken(arrays: Mapping[str, Array], name: str, kind: type[np.generic], shape: tuple[int, ...]) -> Array:
    """One of a model file's arrays. Raises ModelError when it is missing, or of another type or shape."""
    array = arrays.get(name)
    if array is None or array.dtype != kind or array.shape != shape:
        found = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise ModelError(f"model file is damaged: {name} is {found}, not {np.dtype(kind)} {shape}")
    return array


def _magnitude(values: Array) -> npt.NDArray[np.int64]:
    return np.abs(values.astype(np.int64))


class _Layers:
    """Bounds layer by layer; ``step`` is the grid of the activations."""

    def __init__(self, arrays: Mapping[str, Array], step: float) -> None:
        self._arrays, self._step = arrays, step
        self._peak = ACTIVATION_LIMIT / step

    def _layer(self, layer: str, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Weight as int64 (outputs, …), magnitude of the bias in steps of the accumulator, and that step."""
        name = f"int.entropy.{layer}"
        weight = taken(self._arrays, f"{name}.weight", np.int8, shape).astype(np.int64)
        bias = _magnitude(taken(self._arrays, f"{name}.bias", np.int32, shape[:1]))
        exponent = taken(self._arrays, f"{name}.exponent", np.int8, shape[:1]).astype(np.int64)
        if exponent.min() < 0 or exponent.max() > MAX_EXPONENT:
            raise ModelError(f"model file is damaged: {name}.exponent is outside 0..{MAX_EXPONENT}")
        return weight, bias, self._step * 2.0**-exponent

    def direct(self, layer: str, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Largest sum of products and bias of each output, in steps of the accumulator, and that step."""
        weight, bias, unit = self._layer(layer, shape)
        return np.abs(weight).reshape(len(weight), -1).sum(1) * self._peak + bias, unit

    def _requantised(self, total: Array, unit: Array, added_step: float = np.inf) -> float:
        """The largest of sums (in units of value) through leaky slope and rounding, in steps of the finest grid."""
        finest = np.minimum(unit, added_step)
        half = self._step / 2 / LEAKY_SLOPE
        return float(((total + half) / np.minimum(finest, half)).max())

    def pointwise(
        self,
        layer: str,
        inputs: int,
        outputs: int,
        added: Array | float = 0.0,
        added_step: float = np.inf,
    ) -> float:
        worst, unit = self.direct(layer, (outputs, inputs))
        return self._requantised(worst * unit + added, unit, added_step)

    def depthwise(self, layer: str, channels: int) -> float:
        """As :meth:`pointwise`, in quarter steps: the grid of Winograd's halved weights."""
        weight, bias, unit = self._layer(layer, (channels, 1, 3, 3))
        doubled = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
        quarters = np.abs(doubled @ weight[:, 0] @ doubled.T)
        # Each transformed input adds four, each output nine products of sixteen.
        winograd = 4 * self._peak * np.sort(quarters.reshape(channels, 16), 1)[:, -9:].sum(1)
        return self._requantised((winograd / 4 + bias) * unit, unit / 4)
