"""maevid's networks as CompressAI models: one for each configuration, ``maevid-<configuration>-vbr``.

Importing this module registers them with ``compressai.registry`` and in CompressAI's model zoo, whose evaluation then
runs them as it runs its own variable-rate models: a quantiser step q of 1 to 10 becomes λ = 0.18/q², the λ for which
CompressAI's models are trained at that step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from compressai import zoo
from compressai.models import CompressionModel
from compressai.registry import register_model
from compressai.zoo import image_vbr
from torch import Tensor

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import WEIGHTS, MaeCodec
from maevid.errors import ModelError
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS, RATE_INDICES, ModelConfig
from maevid.model.prior import SKIP_BELOW
from maevid.stream.packet import Packet
from maevid.video.frame import ColorTags, Frame
from maevid.video.rgb import BT601, planes_of, rgb_of

COLOR = ColorTags(BT601, full_range=True)
"""Full range loses the least to the planes' 8 bits."""
LAMBDAS = (0.0018, 0.0035, 0.0067, 0.0130, 0.0250, 0.0483, 0.0932, 0.1800)
"""λ of CompressAI's qualities 1 to 8, its levels ``s`` 0 to 7."""
_CONFIG = "config"

Array = npt.NDArray[Any]
Coded = dict[str, Any]


class MaevidModel(CompressionModel):  # type: ignore[misc]
    """A maevid network behind CompressAI's interface for variable-rate models.

    Pictures are (B, 3, H, W) in 0..1; they are coded as 8-bit 4:2:0, in maevid's own packets. Not for training: that
    is ``maevid train``. Made without a checkpoint it has random weights.
    """

    configuration: ClassVar[ModelConfig] = CONFIGS["mae"]
    lmbda = LAMBDAS
    levels = len(LAMBDAS)

    def __init__(self, checkpoint: Checkpoint | None = None, **_: Any) -> None:
        super().__init__()
        self.checkpoint = checkpoint or Checkpoint.from_model(ModulatedAutoencoder(self.configuration))
        self._place(torch.device("cpu"))

    def _place(self, device: torch.device) -> None:
        self.codec = MaeCodec(self.checkpoint, CodecOptions(device.type))
        self.autoencoder = self.codec.network.model

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MaevidModel:
        """``to``, ``cuda`` and the like: a network is put on the new device with its tables, precision as it was."""
        super()._apply(fn, recurse)
        self._place(next(self.parameters()).device)
        return self

    @property
    def downsampling_factor(self) -> int:
        """Of the hyper-latents."""
        return 64

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        """The model file's tensors and, as bytes, its configuration: what decodes is integers, not parameters."""
        text = json.dumps(self.checkpoint.config.to_dict()).encode()
        arrays = {name: torch.from_numpy(np.array(value)) for name, value in self.checkpoint.arrays.items()}
        return {**arrays, _CONFIG: torch.from_numpy(np.frombuffer(text, np.uint8).copy())}

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> None:
        """Take the weights of :meth:`state_dict`. Raises ModelError for anything else."""
        try:
            config = ModelConfig.from_dict(json.loads(bytes(state_dict[_CONFIG].numpy())))
        except (KeyError, ValueError, TypeError):
            raise ModelError(
                "the checkpoint holds no maevid network: export one with maevid_compressai"
            ) from None
        arrays = {name: value.numpy() for name, value in state_dict.items() if name != _CONFIG}
        self.checkpoint = Checkpoint(config, arrays, {})
        self._place(self.codec.network.placement.device)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> MaevidModel:
        """A model with the weights of :meth:`state_dict`."""
        model = cls()
        model.load_state_dict(state_dict)
        return model

    def update(self, *_: Any, **__: Any) -> bool:
        """Nothing to do: the tables are part of the weights."""
        return False

    def aux_loss(self) -> Tensor:
        """None: no quantiles are trained."""
        return torch.zeros(())

    @torch.inference_mode()
    def forward(self, x: Tensor, stage: int = 2, s: int = 1, inputscale: Any = 0) -> Coded:
        """``x_hat`` as the decoder gives it, and the likelihoods of the symbols under the coder's integer tables.

        ``likelihoods``: ``y`` (B, M, h, w), 1 for latents that are not coded at all, and ``z`` where the model has it.
        """
        network, tables = self.codec.network, self.codec.tables
        rate_index = self._rate_index(s, inputscale)
        indices = network.index_tensor([rate_index] * len(x))
        blocks = network.load([planes_of(picture, COLOR) for picture in _arrays(x)])
        found = network.quantise(network.analyse(blocks, indices), indices)
        pictures = network.synthesise(found.latents, indices, *x.shape[-2:])

        def likelihood(symbols: Tensor, which: Array, coded: Array) -> Tensor:
            values, flat = symbols.cpu().numpy().ravel(), which.ravel()
            entries, escaped = tables.entries(values, flat)
            bits = tables.entry_bits[entries]
            for place in np.flatnonzero(escaped):
                one = slice(place, place + 1)
                bits[place] = tables.cost_bits(values[one], flat[one])
            bits = np.where(coded, bits.reshape(which.shape), 0.0)
            return torch.from_numpy(np.exp2(-bits)).to(x.device, torch.float32)

        coded_with = found.tables.cpu().numpy().astype(np.int16)
        hyper = np.broadcast_to(network.hyper_table[rate_index][None, :, None, None], found.hyper.shape)
        likelihoods = {"y": likelihood(found.symbols, coded_with, coded_with >= SKIP_BELOW)}
        if found.hyper.numel():
            likelihoods["z"] = likelihood(found.hyper, hyper, np.array(True))
        return {
            "x_hat": _tensor([rgb_of(planes, COLOR) for planes in pictures], x),
            "likelihoods": likelihoods,
        }

    def compress(self, x: Tensor, stage: int = 2, s: int = 1, inputscale: Any = 0) -> Coded:
        """``strings``: one list, a whole packet for each picture, header included; ``shape``: (H, W)."""
        frames = [Frame(*planes_of(picture, COLOR), 0, Fraction(1, 25)) for picture in _arrays(x)]
        encoded = self.codec.encode_batch(frames, [self._rate_index(s, inputscale)] * len(frames))
        return {"strings": [[one.packet.to_bytes() for one in encoded]], "shape": x.shape[-2:]}

    def decompress(
        self, strings: list[list[bytes]], shape: Any, stage: int = 2, s: int = 1, inputscale: Any = 0
    ) -> Coded:
        """``x_hat`` (B, 3, H, W). The packets say their size and rate. Raises DamagedError and ModelError."""
        pictures = [self.codec.decode(Packet.from_bytes(string)) for string in strings[0]]
        return {"x_hat": _tensor([rgb_of(planes, COLOR) for planes in pictures], next(self.parameters()))}

    def _rate_index(self, s: int, inputscale: Any) -> int:
        """The rate index whose λ is nearest to CompressAI's: that of level ``s``, or 0.18·scale²."""
        scale = float(inputscale)
        lam = LAMBDAS[-1] * scale**2 if scale else LAMBDAS[s]
        place = (self.checkpoint.config.position(lam) + 1) / 2
        return min(max(round(place * (RATE_INDICES - 1)), 0), self.codec.rate_indices[-1])


def _arrays(x: Tensor) -> list[Array]:
    return list(x.detach().float().cpu().numpy())


def _tensor(pictures: list[Array], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).clamp_(0, 1).to(like.device)


def _register(name: str, configuration: ModelConfig) -> None:
    title = f"maevid-{name}-vbr"
    kind = type("MaevidModel", (MaevidModel,), {"configuration": configuration})

    def from_zoo(quality: int = 0, metric: str = "mse", pretrained: bool = False, **_: Any) -> Any:
        """As CompressAI's zoo makes models; ``pretrained`` are the weights that come with maevid."""
        weights = WEIGHTS / f"{name}.safetensors"
        if not pretrained:
            return kind()
        if not weights.exists():
            raise RuntimeError("Pre-trained model not yet available")
        return kind(Checkpoint.load(weights))

    register_model(title)(kind)
    image_vbr.model_architectures[title] = kind
    zoo.image_models[title] = zoo.models[title] = from_zoo


for _name, _configuration in CONFIGS.items():
    _register(_name, _configuration)
