"""Every composition of modulation, prior and transform builds, trains, exports, codes and decodes real packets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.errors import ModelError
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS, PAPER_LAMBDAS, ModelConfig
from maevid.model.conv_gdn import Gdn
from maevid.model.likelihood import gaussian_bits, laplace_bits
from maevid.model.representation import Blocks, Rgb
from maevid.training.loop import Trainer, TrainingOptions
from maevid.training.pictures import Pictures
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

MODULATIONS = ("every-stage", "bottleneck", "none")
PRIORS = ("factorized", "hyperprior", "checkerboard")
COMPOSITIONS = [
    (modulation, prior, transform, units, trellis)
    for modulation in MODULATIONS
    for prior in PRIORS
    for transform, units in (("blocks", "samples"), ("blocks", "quantiser"), ("conv-gdn", "samples"))
    for trellis in (False, True)
    if not trellis or (prior != "factorized" and modulation == "every-stage")
]


def tiny(modulation: str, prior: str, transform: str, units: str, trellis: bool) -> ModelConfig:
    return ModelConfig(
        name="tiny",
        modulation=modulation,
        prior=prior,
        transform=transform,
        units=units,
        channels=96 if transform == "blocks" else 8,
        latents=24,
        blocks_8=1,
        blocks_16=1,
        hyper=0 if prior == "factorized" else 16,
        hyper_latents=0 if prior == "factorized" else 8,
        lambda_min=0.01 if modulation == "none" else 0.002,
        lambda_max=0.01 if modulation == "none" else 0.03,
        width_16=16,
        activation_bits=9,
        trellis=trellis,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    assets = Path(__file__).parents[1] / "assets"
    clips = [assets / "bunny_320x180_audio.mp4", assets / "hall_320x180.mkv"]
    return Pictures(clips, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def frame() -> Frame:
    with VideoReader(Path(__file__).parents[1] / "assets" / "hall_320x180.mkv") as reader:
        whole = next(iter(reader))
    return Frame(whole.y[:71, :95], whole.u[:36, :48], whole.v[:36, :48], whole.pts, whole.time_base)


@pytest.mark.parametrize(("modulation", "prior", "transform", "units", "trellis"), COMPOSITIONS)
def test_every_composition_trains_and_codes(
    modulation: str,
    prior: str,
    transform: str,
    units: str,
    trellis: bool,
    pictures: Pictures,
    frame: Frame,
    tmp_path: Path,
) -> None:
    options = TrainingOptions(batch=2, crop=64, half=False, compiled=False)
    trainer = Trainer(tiny(modulation, prior, transform, units, trellis), pictures, tmp_path, options)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    losses = [trainer.step()["loss"] for _ in range(3)]
    assert all(map(np.isfinite, losses))
    assert trainer.progress.skipped == 0
    moved = {k.split(".")[0] for k, v in trainer.model.state_dict().items() if not torch.equal(v, before[k])}
    assert {"analysis", "synthesis", "entropy"} <= moved
    assert ("modulation_y" in moved) == (modulation != "none")

    Checkpoint.from_model(trainer.model).save(tmp_path / "model.safetensors")
    codec = MaeCodec(Checkpoint.load(tmp_path / "model.safetensors"), CodecOptions(device="cpu"))
    assert len(codec.rate_indices) == (1 if modulation == "none" else 256)
    for index in {
        codec.rate_indices[0],
        codec.rate_indices[len(codec.rate_indices) // 3],
        codec.rate_indices[-1],
    }:
        encoded = codec.encode(frame, index, reconstruct=True)
        again = codec.decode(type(encoded.packet).from_bytes(encoded.packet.to_bytes()))
        assert encoded.reconstruction is not None
        for decoded, expected in zip(again, encoded.reconstruction, strict=True):
            np.testing.assert_array_equal(decoded, expected)
        estimate = codec.estimate_bits([frame], [index])[0, 0]
        assert abs(estimate / 8 - len(encoded.packet.to_bytes())) < 16


def test_the_papers_systems_are_configurations() -> None:
    for prior in ("factorized", "hyperprior"):
        whole, scaled = CONFIGS[f"mae-{prior}"], CONFIGS[f"bottleneck-{prior}"]
        assert (whole.transform, whole.modulation) == ("conv-gdn", "every-stage")
        assert dataclasses.replace(scaled, name=whole.name, modulation="every-stage") == whole
        for lam in PAPER_LAMBDAS:
            one = CONFIGS[f"independent-{prior}-{lam}"]
            assert one.lambda_min == one.lambda_max == pytest.approx(lam / 255**2)
            assert whole.lambda_min <= one.lambda_min <= whole.lambda_max


@pytest.mark.parametrize(
    "wrong",
    [
        {"modulation": "none"},
        {"lambda_min": 0.5, "lambda_max": 0.5},
        {"prior": "factorized"},
        {"transform": "conv-gdn", "units": "quantiser"},
        {"prior": "autoregressive"},
        {"activation_bits": 10},
        {"mean_bits": 7},
        {"trellis": True, "mean_bits": 1},
        {"trellis": True, "prior": "factorized", "hyper": 0, "hyper_latents": 0},
    ],
)
def test_what_cannot_be_composed_is_refused_in_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError) as refusal:
        dataclasses.replace(ModelConfig(), **wrong)
    assert "\n" not in str(refusal.value)


def test_an_older_models_configuration_stays_as_it_was() -> None:
    """What its identity is made of; fields that came later are written only where they differ."""
    old = ModelConfig().to_dict()
    assert {"units", "width_16", "activation_bits", "mean_bits"}.isdisjoint(old)
    assert ModelConfig.from_dict(old) == ModelConfig()
    new = CONFIGS["mae"].to_dict()
    assert new["units"] == "quantiser"
    assert ModelConfig.from_dict(new) == CONFIGS["mae"]
    with pytest.raises(ModelError, match="shape"):
        ModelConfig.from_dict({**old, "shape": 1})


def test_representations_keep_every_sample() -> None:
    torch.manual_seed(0)
    y, u, v = (torch.randint(0, 256, (2, 1, n, n), dtype=torch.uint8) for n in (32, 16, 16))
    for form, loss in ((Blocks(), 0), (Rgb(), 1)):
        x = form.load(y, u, v)
        for plane, expected in zip(form.levels(x), (y, u, v), strict=True):
            assert (plane.int() - expected.int()).abs().max() <= loss
        packed = form.pack(*(plane.float() / 255 for plane in (y, u, v)))
        torch.testing.assert_close(packed, x)
        assert len(form.weights((4 / 6, 1 / 6, 1 / 6))) == x.shape[1]
    white = Rgb().pack(
        *(torch.full((1, 1, n, n), level / 255) for n, level in ((2, 235), (1, 128), (1, 128)))
    )
    torch.testing.assert_close(white, torch.ones(1, 3, 2, 2), rtol=0, atol=1e-5)


def test_gdn_is_what_its_formula_says() -> None:
    torch.manual_seed(1)
    layer, x = Gdn(4), torch.randn(1, 4, 3, 3)
    with torch.no_grad():
        layer.gamma.uniform_(0, 1)
        layer.beta.uniform_(0.5, 1)
        norm = (
            torch.einsum("ij,bjhw->bihw", layer.gamma**2, x**2) + (layer.beta**2)[None, :, None, None] + 1e-6
        )
        torch.testing.assert_close(layer(x), x / norm.sqrt())
        layer.inverse = True
        torch.testing.assert_close(layer(x), x * norm.sqrt())


@pytest.mark.parametrize("bits", [gaussian_bits, laplace_bits])
def test_likelihoods_are_distributions_of_the_given_deviation(bits) -> None:
    for scale in (1.0, 3.0, 7.0):
        # Far out the floor of the likelihoods, 2^-20 a symbol, would count.
        symbols = torch.arange(-round(9 * scale) - 1.0, round(9 * scale) + 2)
        mass = torch.exp2(-bits(symbols, torch.full_like(symbols, scale)))
        assert float(mass.sum()) == pytest.approx(1, abs=2e-3)
        assert float((mass * symbols**2).sum()) == pytest.approx(scale**2 + 1 / 12, rel=0.1)
