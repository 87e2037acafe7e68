"""Made tests/golden/mae, mae-2 and mae-3, each once: `python tests/golden/make.py FOLDER`. See README.md here first."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

import maevid
from maevid.codec.entropy import FrequencyTables, gaussian_tables
from maevid.codec.entropy.trellis import STATES
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import ModelConfig
from maevid.model.prior import SCALES, scale_of_index
from maevid.stream.reader import StreamReader
from maevid.video.frame import Frame

TINY = ModelConfig(
    name="golden", channels=8, latents=8, blocks_8=1, blocks_16=1, hyper=8, hyper_latents=4, lambda_max=0.25
)
CONFIGS = {
    "mae": TINY,
    "mae-2": replace(TINY, name="golden-2", units="quantiser", width_16=4, activation_bits=9, lambda_max=2.0),
    "mae-3": replace(
        TINY,
        name="golden-3",
        units="quantiser",
        width_16=4,
        activation_bits=9,
        mean_bits=6,
        lambda_max=2.0,
        lapped=True,
        trellis=True,
    ),
}
CASES = ((1, 1, 255), (17, 33, 0), (64, 48, 128), (64, 48, 255), (70, 50, 190))


def tiny_checkpoint(config: ModelConfig) -> Checkpoint:
    """Random weights, large enough that every layer matters; short tables, so that escapes occur."""
    torch.manual_seed(20)
    model = ModulatedAutoencoder(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "out." in name or "bias" in name or "predictor" in name:
                parameter.add_(0.15 * torch.randn_like(parameter))
        model.entropy.hyper_index.uniform_(5, 40)
    made = Checkpoint.from_model(model)
    scales = scale_of_index(torch.arange(SCALES, dtype=torch.float64)).clamp_max(6).numpy()
    tables = gaussian_tables(scales, tail=2.0**-8)
    if config.trellis:
        # Of every state others, so that a wrong one is noticed.
        states = (gaussian_tables(scales * 2 ** (state / 8), tail=2.0**-8) for state in range(STATES))
        tables = FrequencyTables.joined(tables, *states)
    named = {f"tables.{k}": v for k, v in tables.to_arrays().items()}
    return Checkpoint(config, made.arrays | named, {"steps": "0"})


def picture(width: int, height: int, number: int = 0) -> Frame:
    """A slope, a moving disc and noise."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    disc = (x - 20 - 3 * number) ** 2 + (y - 20) ** 2 < 150
    luma = 60 + x + y / 2 + 80 * disc + random.normal(0, 4, (height, width))
    half = (slice(None, None, 2), slice(None, None, 2))
    planes = (luma, 128 + (x - y)[half] / 2, 128 - 40 * disc[half])
    y8, u8, v8 = (np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in planes)
    return Frame(y8, u8, v8, number, Fraction(1, 25), 1)


def make(folder: Path) -> None:
    """Write model, packets, file and what they decode to."""
    folder.mkdir(parents=True)
    weights = folder / "golden.safetensors"
    tiny_checkpoint(CONFIGS[folder.name]).save(weights)
    codec = MaeCodec(Checkpoint.load(weights), CodecOptions("cpu", "float32"))
    facts: dict[str, object] = {"maevid": maevid.__version__, "model": codec.sha256, "latents": {}}

    def digest(packet) -> str:
        return hashlib.sha256(codec.latent_levels(packet).astype("<i4").tobytes()).hexdigest()

    latents = {}
    for width, height, index in CASES:
        packet = codec.encode(picture(width, height), index).packet
        name = f"{width}x{height}-{index}.packet"
        (folder / name).write_bytes(packet.to_bytes())
        latents[name] = digest(packet)
        if (width, height, index) == CASES[-1]:
            np.savez_compressed(folder / "picture.npz", *codec.decode(packet))
    source = folder / "source.y4m"
    with source.open("wb") as out:
        out.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n")
        for number in range(6):
            out.write(b"FRAME\n" + b"".join(p.tobytes() for p in picture(64, 48, number).planes))
    maevid.compress(
        source, folder / "clip.mkv", bitrate=30_000, weights=weights, precision="float32", device="cpu"
    )
    source.unlink()
    with StreamReader(folder / "clip.mkv") as reader:
        latents["clip.mkv"] = [digest(coded.unwrap()) for coded in reader]
    facts["latents"] = latents
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
