"""Operations counted against the networks' own weights, and the bench run for real at a small size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maevid.bench.macs import count_macs
from maevid.bench.operators import OperatorHook
from maevid.bench.pictures import synthetic_frames
from maevid.bench.stages import stage_times
from maevid.cli import main
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec, open_mae
from maevid.model import fused
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS
from maevid.model.device import choose_placement
from maevid.model.network import Network

MOST = {"mae": 10_000, "mae-fast": 3_000}
"""Operations a pixel that the shipped configurations may take each way."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("inference", [False, True])
def test_operators_are_counted_by_kind(inference: bool) -> None:
    x, square = torch.randn(2, 8, 6, 10), torch.randn(5, 5)
    with torch.inference_mode(inference), OperatorHook() as hook:
        F.conv2d(x, torch.randn(4, 8, 1, 1))
        F.linear(torch.randn(3, 7), torch.randn(11, 7), torch.randn(11))
        square @ square
        torch.bmm(torch.randn(2, 3, 4), torch.randn(2, 4, 5))
    assert hook.work.macs == {"pointwise": 2 * 60 * 32 + 3 * 77 + 125 + 2 * 60, "spatial": 0, "other": 0}
    with torch.inference_mode(inference), OperatorHook() as hook:
        F.conv2d(x, torch.randn(8, 1, 3, 3), padding=1, groups=8)
        F.conv2d(x, torch.randn(4, 8, 5, 5), stride=2, padding=2)
        F.conv_transpose2d(x, torch.randn(8, 4, 3, 3), stride=2)
        torch.relu(x)
    assert hook.work.macs["spatial"] == 2 * 60 * 8 * 9 + 2 * 15 * 32 * 25 + 2 * 60 * 32 * 9
    assert hook.work.total_macs == hook.work.macs["spatial"]
    assert hook.work.seconds["spatial"] > 0


@pytest.mark.parametrize("name", MOST)
def test_operations_a_pixel(name: str) -> None:
    """All together they are what the weights say, each applied at every place of its layer's output."""
    torch.manual_seed(0)
    checkpoint = Checkpoint.from_model(ModulatedAutoencoder(CONFIGS[name]))
    network = Network(checkpoint, choose_placement("cpu", "float32"))
    found = count_macs(network)
    model, expected = checkpoint.model(), []

    def note(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        if output.dim() == 4:
            expected.append(module.weight.numel() * output.shape[2:].numel())

    for part in model.modules():
        if isinstance(getattr(part, "weight", None), torch.nn.Parameter):
            part.register_forward_hook(note)
    y, u, v = (torch.rand(1, 1, side, side) for side in (128, 64, 64))
    model(y, u, v, torch.tensor([0.01]), noise=False)
    total = sum(expected) / 128**2
    if model.entropy.two_passes:
        # The exact predictor runs on two halves of its inputs, or as four of its nine taps for every second latent.
        total += model.entropy.predictor.weight.numel() / 16**2 * (2 / 9 - 1 if network.fused else 1)
    if network.fused and model.entropy.two_passes:
        # Of a head's outputs a pass computes what it codes.
        heads = (model.entropy.head_1, model.entropy.head_2)
        total -= sum(head.out.weight.numel() for head in heads) / 2 / 16**2
    # Plain, an edge of overlapping blocks is a product by 16×16 in luma and 8×8 in chroma, each way, upright and level;
    # as loops it is one by 8×8 and 4×4. What makes these matrices is in it too.
    edges = {16: 128 * 7, 8: 2 * 64 * 7}
    made = 16 * 8 * (8 + 16) + 2 * 8 * 4 * (4 + 8)
    total += 2 * (2 * sum(many * side**2 for side, many in edges.items()) + made) / 128**2
    assert found.encode + found.synthesis == pytest.approx(total, rel=1e-9)
    if fused.available():
        quick = count_macs(Network(checkpoint, choose_placement("cpu", "bfloat16")))
        saved = (2 * sum(many * (side**2 - side**2 // 4) for side, many in edges.items()) + made) / 128**2
        assert quick.analysis == pytest.approx(found.analysis - saved, rel=1e-9)
        assert quick.synthesis == pytest.approx(found.synthesis - saved, rel=1e-9)
    assert found.decode == found.entropy + found.synthesis
    assert min(found.analysis, found.hyper_analysis, found.entropy, found.synthesis) > 0
    assert max(found.encode, found.decode) <= MOST[name]


def test_stages_add_up() -> None:
    (frame,) = synthetic_frames(256, 144, 1)
    codec = open_mae(CodecOptions(device="cpu", precision="float32"))
    assert isinstance(codec, MaeCodec)
    times = stage_times(codec, frame, 120, 2)
    assert list(times.encode) == ["conversion", "analysis", "entropy networks", "coding"]
    assert list(times.decode) == ["entropy networks", "coding", "synthesis", "post filter"]
    assert set(times.peaks) == {"float32", codec.network.entropy_precision}
    pixels = 256 * 144
    parts = {part.name: part for part in times.parts}
    # A larger picture has more edges between blocks for its size.
    assert parts["analysis"].macs == pytest.approx(times.macs.analysis * pixels, rel=1e-3)
    assert parts["synthesis"].macs == pytest.approx(times.macs.synthesis * pixels, rel=1e-3)
    for part in times.parts:
        assert 0 < part.pointwise_macs < part.macs
        assert 0 < part.pointwise_seconds + part.spatial_seconds < part.seconds
        assert part.gmacs > 0
    assert 0 < times.besides_network < 1


def test_made_up_frames_are_the_same_every_time_and_like_pictures() -> None:
    first, second = synthetic_frames(160, 90, 2), synthetic_frames(160, 90, 2)
    for one, other in zip(first, second, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    assert not np.array_equal(first[0].y, first[1].y)
    y = first[0].y.astype(float)
    assert 25 < y.std() < 70
    # Neighbours are alike.
    assert np.corrcoef(y[:, :-1].ravel(), y[:, 1:].ravel())[0, 1] > 0.9
    assert first[1].pts == 1


def test_the_command_measures_whole_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--heights", "48,64", "--frames", "3", "--repeat", "1", "--device", "cpu"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["codec"] == "mae"
    assert list(found["stages"]) == ["86x48", "114x64"]
    for row in found["throughput"]:
        assert 0 < row["bits_per_pixel"] < 1
        assert min(row["encode_fps"], row["encode_psnr_fps"], row["decode_fps"]) > 0
        assert row["peak_bytes"] > 2**20
    assert found["stages"]["86x48"]["macs"]["analysis"] > 1000


def test_the_command_shows_a_table_of_a_clip(hall, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--input", str(hall), "--frames", "2", "--repeat", "1", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for words in ("kMAC/pixel", "320x180, rate index", "GMAC/s", "whole jobs", "of the encode time"):
        assert words in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heights", "360p"], "wants numbers"),
        (["--heights", "361"], "even"),
        (["--frames", "0"], "at least 1"),
        (["--codec", "nothing"], "no codec"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
