"""A CompressAI model at one of its rates: RGB in, strings out, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from compressai.entropy_models import EntropyBottleneckVbr
from compressai.registry import MODELS
from torch import Tensor

from maevid.errors import ModelError
from maevid_compressai.checkpoints import State
from maevid_compressai.coder import Ledger, watch, with_end

ALIGNMENT = 64
"""No image model of CompressAI halves its input more often than six times."""
VARIABLE = ("bmshj2018-hyperprior-vbr", "mbt2018-mean-vbr", "mbt2018-vbr")
LOWEST_LAMBDA = 0.0018
"""λ of CompressAI's quality 1; that of quality 8 is a hundred times as large, the steps between are even in ln λ."""
_QUALITY_STEPS = 7
_INDICES = 256
_TABLES = ("_offset", "_quantized_cdf", "_cdf_length")

Rgb = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Coded:
    """Strings of one picture, in the order in which CompressAI gives them, and the check value of their symbols."""

    strings: tuple[bytes, ...]
    check: int


class RateModel(ABC):
    """One or several networks that cover a range of rate indices."""

    lams: Sequence[float]
    checked: bool
    """Whether the check value covers the latents: autoregressive models write them past the entropy models."""
    strings: int
    """How many a picture has."""

    @abstractmethod
    def compress(self, rgb: Rgb, rate_index: int) -> Coded:
        """Code RGB (3, height, width), both multiples of 64."""

    @abstractmethod
    def decompress(self, coded: Coded, height: int, width: int, rate_index: int) -> tuple[Rgb, int]:
        """RGB (3, height, width) in 0..1, and the check value of what was read. May raise anything."""


class _Network:
    """One CompressAI model, told how the shapes that its decoder asks for follow from the picture's."""

    def __init__(self, architecture: str, state: State, device: torch.device) -> None:
        self.device = device
        try:
            self.model: Any = _built(architecture, state).to(device).eval()
            self.model.requires_grad_(False)
            self.model.update()
            _check_tables(self.model)
            self.vbr_hyper = isinstance(getattr(self.model, "entropy_bottleneck", None), EntropyBottleneckVbr)
            self.ledger: Ledger = watch(self.model)
            self.checked = not hasattr(self.model, "context_prediction")
            with torch.inference_mode():
                trial = self.model.compress(torch.zeros(1, 3, ALIGNMENT, ALIGNMENT, device=device))
            self.strings, self.shape = len(trial["strings"]), trial["shape"]
        except (KeyError, IndexError, RuntimeError, ValueError, AttributeError, TypeError) as reason:
            line = str(reason).strip().split("\n", 1)[0]
            raise ModelError(f"the checkpoint does not fit CompressAI's {architecture}: {line}") from None

    @torch.inference_mode()
    def compress(self, rgb: Rgb, **rate: Any) -> Coded:
        """Code a picture; ``rate`` goes to the model."""
        self.ledger.begin(writing=True)
        found = self.model.compress(torch.from_numpy(rgb)[None].to(self.device), **rate)
        return Coded(
            tuple(strings[0] for strings in found["strings"]), self.ledger.value if self.checked else 0
        )

    @torch.inference_mode()
    def decompress(self, coded: Coded, height: int, width: int, **rate: Any) -> tuple[Rgb, int]:
        """Rebuild a picture, and the check value of what was read."""
        self.ledger.begin(writing=False)
        shape = _scaled(self.shape, height // ALIGNMENT, width // ALIGNMENT)
        strings = [[with_end(string, 2 * height * width)] for string in coded.strings]
        picture: Tensor = self.model.decompress(strings, shape, **rate)["x_hat"][0]
        rgb: Rgb = torch.nan_to_num(picture).cpu().numpy()
        return rgb, self.ledger.value if self.checked else 0


class FixedRates(RateModel):
    """One network a rate index, by rising quality."""

    def __init__(self, architecture: str, states: Sequence[State], device: torch.device) -> None:
        self.networks = [_Network(architecture, state, device) for state in states]
        self.checked, self.strings = self.networks[0].checked, self.networks[0].strings
        # A checkpoint does not say what λ it was trained for; CompressAI's series stands in.
        self.lams = [LOWEST_LAMBDA * 100 ** (i / _QUALITY_STEPS) for i in range(len(states))]

    def compress(self, rgb: Rgb, rate_index: int) -> Coded:
        """Code with the network of that index."""
        return self.networks[rate_index].compress(rgb)

    def decompress(self, coded: Coded, height: int, width: int, rate_index: int) -> tuple[Rgb, int]:
        """Rebuild with the network of that index."""
        return self.networks[rate_index].decompress(coded, height, width)


class VariableRate(RateModel):
    """One network whose latents are scaled by a gain; 256 rate indices, even in the logarithm of the gain.

    The gains run from the smallest that the network was trained with to the largest. λ rises with the square of
    the gain (as the training's λ do): the largest gain is that of CompressAI's last λ.
    """

    def __init__(self, architecture: str, state: State, device: torch.device) -> None:
        self.network = _Network(architecture, state, device)
        self.checked, self.strings = self.network.checked, self.network.strings
        trained = self.network.model.Gain.abs()
        low, high = float(trained.min()), float(trained.max())
        if not 0 < low < high < float("inf"):
            raise ModelError(
                f"the checkpoint of {architecture} has gains from {low:g} to {high:g}: it is not trained"
            )
        self.gains = [low * (high / low) ** (i / (_INDICES - 1)) for i in range(_INDICES)]
        highest = float(self.network.model.lmbda[-1])
        self.lams = [highest * (gain / high) ** 2 for gain in self.gains]
        self._tables: dict[int, list[Tensor]] = {}

    def compress(self, rgb: Rgb, rate_index: int) -> Coded:
        """Code at the gain of that index."""
        return self.network.compress(rgb, inputscale=self._gain(rate_index))

    def decompress(self, coded: Coded, height: int, width: int, rate_index: int) -> tuple[Rgb, int]:
        """Rebuild at the gain of that index."""
        return self.network.decompress(coded, height, width, inputscale=self._gain(rate_index))

    @torch.inference_mode()
    def _gain(self, rate_index: int) -> Tensor:
        """The gain, with the model's hyper-latent tables set for it where they depend on it."""
        gain = torch.tensor(self.gains[rate_index], device=self.network.device)
        if self.network.vbr_hyper:
            bottleneck = self.network.model.entropy_bottleneck
            if rate_index not in self._tables:
                step = self.network.model.lower_bound_zqstep(self.network.model.gayn2zqstep(1 / gain.view(1)))
                bottleneck.update_variable(force=True, qs=step)
                self._tables[rate_index] = [getattr(bottleneck, name) for name in _TABLES]
            for name, table in zip(_TABLES, self._tables[rate_index], strict=True):
                setattr(bottleneck, name, table)
        return gain


def build(architecture: str, states: Sequence[State], device: torch.device) -> RateModel:
    """The rate model of an architecture. Raises ModelError for checkpoints that do not fit it."""
    if architecture not in VARIABLE:
        return FixedRates(architecture, states, device)
    if len(states) > 1:
        raise ModelError(f"{architecture} covers its rates with one checkpoint, here are {len(states)}")
    return VariableRate(architecture, states[0], device)


def _built(architecture: str, state: State) -> Any:
    kind: Any = MODELS[architecture]
    if "gayn2zqstep.0.weight" not in state:
        return kind.from_state_dict(dict(state))
    # The tables of variable hyper-latents are made for each gain, and CompressAI cannot load any.
    empty = {f"entropy_bottleneck.{name}": torch.IntTensor() for name in _TABLES}
    return kind.from_state_dict({**state, **empty}, vr_entbttlnck=True)


def _check_tables(model: Any) -> None:
    """Raises ValueError for frequency tables with which CompressAI's coder would leave its memory."""
    for module in model.modules():
        if not hasattr(module, "_quantized_cdf") or not module._quantized_cdf.numel():
            continue
        offsets, tables, lengths = (getattr(module, name).cpu().long() for name in _TABLES)
        rows = module.scale_table.numel() if hasattr(module, "scale_table") else module.channels
        if [tables.dim(), *tables.shape[:1], *lengths.shape, *offsets.shape] != [2, rows, rows, rows]:
            raise ValueError("its entropy tables have another number of rows than it needs")
        if lengths.min() < 2 or lengths.max() > tables.shape[1]:
            raise ValueError("its entropy tables have impossible lengths")
        inside = torch.arange(1, tables.shape[1]) < lengths[:, None]
        rises = (tables[:, 1:] > tables[:, :-1]) | ~inside
        ends = tables.gather(1, lengths[:, None] - 1)
        if not rises.all() or tables[:, 0].any() or not (ends == 1 << 16).all():
            raise ValueError("its entropy tables are no frequencies")


def _scaled(shape: Any, rows: int, columns: int) -> Any:
    """Shapes of latents, found on a picture of 64×64, for one so many times as high and wide."""
    if isinstance(shape, dict):
        return {name: _scaled(part, rows, columns) for name, part in shape.items()}
    if all(isinstance(size, int) for size in shape):
        *channels, height, width = shape
        return torch.Size((*channels, height * rows, width * columns))
    return [_scaled(part, rows, columns) for part in shape]
