"""A model in one safetensors file: half-precision transforms, integer entropy networks, tables, configuration.

Layout of the tensors:

* ``float.<parameter>``: float16 with the value's bfloat16, every parameter that decides no probability;
* ``int.<layer>.weight`` int8, ``.exponent`` int8, ``.bias`` int32: a layer of the entropy networks. The weight is
  int8·2^-exponent, the bias counts steps of 2^-exponent times the activations' step, the predictor's weight 1/64;
* ``offset.<name>``: int32 (256, channels), what a rate index adds in the entropy networks, in steps of 1/64
  (hidden layers) and 1/8 (``scale_index``), and the table number of each hyper-latent (``hyper_index``);
* ``tables.<name>``: the frequency tables;
* ``post.filter.<plane>`` int16, ``post.limit.<plane>``, ``post.cut.<plane>``, ``post.guide.chroma`` int32: the post
  filter's, of a model that has one (:class:`~maevid.model.post_filter.PostFilter`).

The metadata hold the configuration and, as free text, how the model was trained. The model's identity is the
SHA-256 over configuration, names, types, shapes and bytes, so it does not depend on the file's layout.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from maevid.codec.entropy import FrequencyTables, gaussian_tables, laplace_tables
from maevid.codec.entropy.trellis import STATES
from maevid.errors import ModelError
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.bounds import check_sums
from maevid.model.config import RATE_INDICES, ModelConfig
from maevid.model.integer import (
    OFFSET_STEP,
    IntegerDepthwise,
    IntegerPointwise,
    LinearPredictor,
    weight_exponents,
)
from maevid.model.post_filter import PostFilter
from maevid.model.prior import INDEX_STEP, SCALES, Conditions, scale_of_index
from maevid.model.trellis import trellis_tables

Arrays = dict[str, npt.NDArray[np.generic]]
FORMAT = "maevid-model-1"
_Exact = IntegerPointwise | IntegerDepthwise | LinearPredictor
_OFFSET_STEPS = {
    "hyper": OFFSET_STEP,
    "first": OFFSET_STEP,
    "second": OFFSET_STEP,
    "scale_index": INDEX_STEP,
    "hyper_index": 1.0,
}


class Checkpoint:
    """What a model file holds. ``sha256`` is its identity; ``notes`` says how it was trained.

    ``post_filter`` is None for a model without one. Raises ModelError when a part of it or an integer layer is
    missing, or sums could overflow (:mod:`maevid.model.bounds`).
    """

    def __init__(self, config: ModelConfig, arrays: Arrays, notes: dict[str, str]) -> None:
        self.config, self.arrays, self.notes = config, arrays, notes
        check_sums(config, arrays)
        post = {name[5:]: array for name, array in arrays.items() if name.startswith("post.")}
        self.post_filter = PostFilter(post) if config.post_filter else None
        self.sha256 = _identity(config, arrays)

    @classmethod
    def from_model(cls, model: ModulatedAutoencoder, notes: dict[str, str] | None = None) -> Checkpoint:
        """Freeze a trained network: round what must be exact, tabulate what depends on λ. Without a post filter."""
        arrays: Arrays = {}
        integer_names = set()
        for layer_name, layer in model.named_modules():
            if isinstance(layer, _Exact):
                arrays |= {f"int.{layer_name}.{k}": v for k, v in _pack_layer(layer).items()}
                integer_names |= {f"{layer_name}.{k}" for k, _ in layer.named_parameters()}
        for name, value in model.state_dict().items():
            if name not in integer_names:
                arrays[f"float.{name}"] = _halved(value.detach().cpu())
        arrays |= {f"offset.{k}": v for k, v in _tabulate(model).items()}
        scales = scale_of_index(torch.arange(SCALES, dtype=torch.float64)).numpy()
        if model.config.trellis:
            tables = trellis_tables(scales)
        else:
            tables = (laplace_tables if model.config.prior == "factorized" else gaussian_tables)(scales)
        return cls(replace(model.config, post_filter=False), arrays | _named(tables), notes or {})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a model file. Raises ModelError when it is missing, damaged or of another format."""
        try:
            with safe_open(path, framework="np") as stored:
                metadata = stored.metadata() or {}
                arrays: Arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as reason:
            raise ModelError(f"{path}: not a usable model file ({reason})") from None
        if metadata.get("format") != FORMAT:
            raise ModelError(f"{path}: not a model of this version of maevid ({FORMAT} is what it reads)")
        try:
            config = ModelConfig.from_dict(json.loads(metadata["config"]))
        except (KeyError, ValueError, TypeError):
            raise ModelError(f"{path}: its configuration is damaged") from None
        return cls(config, arrays, json.loads(metadata.get("notes", "{}")))

    def save(self, path: Path) -> None:
        """Write atomically."""
        metadata = {
            "format": FORMAT,
            "config": json.dumps(self.config.to_dict()),
            "notes": json.dumps(self.notes),
        }
        partial = path.with_name(f".{path.name}.part")
        partial.write_bytes(
            save({k: np.ascontiguousarray(v) for k, v in sorted(self.arrays.items())}, metadata)
        )
        os.replace(partial, path)

    def model(self) -> ModulatedAutoencoder:
        """A network with these weights, its entropy model exact and frozen. Raises ModelError when they do not fit."""
        model = ModulatedAutoencoder(self.config).float()
        state: dict[str, Tensor] = {
            name[6:]: torch.from_numpy(value.astype(np.float32))
            for name, value in self.arrays.items()
            if name.startswith("float.")
        }
        try:
            for name, layer in model.named_modules():
                if isinstance(layer, _Exact):
                    state |= {f"{name}.{k}": v for k, v in self._unpack_layer(name, layer).items()}
                    layer.frozen = True
            model.load_state_dict(state)
        except (KeyError, RuntimeError) as reason:
            raise ModelError(
                f"model {self.config.name}: weights do not fit the configuration ({reason})"
            ) from None
        model.entropy.set_exact(True)
        return model.eval()

    def tables(self) -> FrequencyTables:
        """The frequency tables of the scale indices 0..63, and after them, where it has a trellis, in each state.

        Raises ModelError where they are not as many.
        """
        tables = FrequencyTables.from_arrays(
            {name[7:]: value for name, value in self.arrays.items() if name.startswith("tables.")}
        )
        wanted = SCALES * (1 + STATES) if self.config.trellis else SCALES
        if len(tables) != wanted:
            raise ModelError(f"model {self.config.name}: {len(tables)} frequency tables, not {wanted}")
        return tables

    def with_tables(self, tables: FrequencyTables) -> Checkpoint:
        """The same model with other frequency tables; its identity is another too."""
        return Checkpoint(self.config, self.arrays | _named(tables), self.notes)

    def with_post_filter(self, post_filter: PostFilter) -> Checkpoint:
        """The same model with a post filter; its identity is another too."""
        arrays = {f"post.{name}": array for name, array in post_filter.arrays().items()}
        return Checkpoint(replace(self.config, post_filter=True), self.arrays | arrays, self.notes)

    def conditions(self) -> Conditions:
        """The λ-dependent terms of the entropy model for all rate indices: rows of (256, channels)."""
        rows = {}
        for name, step in _OFFSET_STEPS.items():
            rows[name] = torch.from_numpy(self.arrays[f"offset.{name}"].astype(np.float32)) * step
        return Conditions(**rows)

    def _unpack_layer(self, name: str, layer: _Exact) -> dict[str, Tensor]:
        weight = torch.from_numpy(self.arrays[f"int.{name}.weight"].astype(np.float32))
        if isinstance(layer, LinearPredictor):
            return {"weight": weight * LinearPredictor.WEIGHT_STEP}
        exponent = torch.from_numpy(self.arrays[f"int.{name}.exponent"].astype(np.float32))
        scale = torch.exp2(-exponent)
        bias = torch.from_numpy(self.arrays[f"int.{name}.bias"].astype(np.float64)).float()
        column = scale.view(-1, *([1] * (weight.dim() - 1)))
        return {"weight": weight * column, "bias": bias * scale * layer.step}


def _named(tables: FrequencyTables) -> Arrays:
    return {f"tables.{name}": value for name, value in tables.to_arrays().items()}


def _pack_layer(layer: _Exact) -> Arrays:
    with torch.no_grad():
        if isinstance(layer, LinearPredictor):
            return {"weight": (layer.quantised() / LinearPredictor.WEIGHT_STEP).numpy().astype(np.int8)}
        weight, bias = layer.quantised()
        exponent = weight_exponents(layer.weight)
        scale = torch.exp2(exponent)
        column = scale.view(-1, *([1] * (weight.dim() - 1)))
        return {
            "weight": (weight * column).numpy().astype(np.int8),
            "exponent": exponent.numpy().astype(np.int8),
            "bias": _int32(bias * scale / layer.step),
        }


def _halved(values: Tensor) -> npt.NDArray[np.float16]:
    """float16, each rounded so that its bfloat16 is that of the value: what the network was trained to compute with.

    Half of what rounds to the middle between two of bfloat16 would go to the other one, one weight in sixteen: that
    cost 0.13 dB at 44 dB.
    """
    exact = values.float().numpy()
    near = exact.astype(np.float16)
    astray = (torch.from_numpy(near).bfloat16() != values.bfloat16()).numpy()
    back = np.nextafter(near, np.where(exact > near, np.inf, -np.inf).astype(np.float16))
    halved: npt.NDArray[np.float16] = np.where(astray, back, near)
    return halved


def _int32(values: Tensor) -> npt.NDArray[np.int32]:
    """Whole numbers as int32, those beyond it at its ends, where no bound holds."""
    ends = np.iinfo(np.int32)
    whole: npt.NDArray[np.float64] = np.nan_to_num(values.double().numpy(), nan=ends.min)
    clipped: npt.NDArray[np.int32] = whole.clip(ends.min, ends.max).astype(np.int32)
    return clipped


@torch.no_grad()
def _tabulate(model: ModulatedAutoencoder) -> Arrays:
    exact = model.entropy.exact
    model.entropy.set_exact(True)
    position = torch.linspace(-1, 1, RATE_INDICES)
    conditions = model.entropy.conditions(position, model.log_gain(model.gains(position)))
    model.entropy.set_exact(exact)
    return {name: _int32((getattr(conditions, name) / step).round()) for name, step in _OFFSET_STEPS.items()}


def _identity(config: ModelConfig, arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps([FORMAT, config.to_dict()], sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()
