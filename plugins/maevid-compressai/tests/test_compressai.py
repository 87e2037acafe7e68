"""The plugin, installed for real into a fresh folder, with small models of random weights saved as checkpoints."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
compressai = pytest.importorskip(
    "compressai",
    reason="CompressAI is not installed here (it needs NumPy below 2): nothing of its plugin is tested",
)

import av  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from compressai.registry import MODELS  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from maevid.cli import main  # noqa: E402
from maevid.codec.interface import CodecOptions, FrameCodec  # noqa: E402
from maevid.codec.registry import installed_codecs, open_codec  # noqa: E402
from maevid.errors import DamagedError, LatentError, ModelError, UsageError  # noqa: E402
from maevid.model.config import CONFIGS  # noqa: E402
from maevid.stream.packet import Packet  # noqa: E402
from maevid.video.frame import ColorTags, Frame  # noqa: E402
from maevid.video.rgb import planes_of, rgb_of  # noqa: E402

PLUGIN = Path(__file__).parents[1]
ASSETS = PLUGIN.parents[1] / "tests" / "assets"
SIZES = {
    "bmshj2018-factorized": (8, 12),
    "bmshj2018-factorized-relu": (8, 12),
    "bmshj2018-hyperprior": (8, 12),
    "mbt2018-mean": (8, 12),
    "mbt2018": (8, 12),
    "cheng2020-anchor": (8,),
    "cheng2020-attn": (8,),
    "cheng2020-anchor-checkerboard": (8,),
    "bmshj2018-hyperprior-vbr": (8, 12, True),
    "mbt2018-mean-vbr": (8, 12, True),
    "mbt2018-vbr": (8, 12),
    "elic2022-official": (8,),
    "elic2022-chandelier": (8,),
}
VARIABLE = [name for name in SIZES if name.endswith("-vbr")]


@pytest.fixture(autouse=True)
def installed(site: Path) -> Iterator[None]:
    """The installed package, and no other copy of it, on one thread."""
    sys.path.insert(0, str(site))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    sys.path.remove(str(site))


def network(architecture: str, seed: int = 1) -> torch.nn.Module:
    """A small network whose latents are large enough for many symbols."""
    torch.manual_seed(seed)
    model = MODELS[architecture](*SIZES[architecture])
    last = [module for module in model.g_a.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight *= 40
    model.update(force=True)
    return model.eval()


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each architecture under its name, as CompressAI's training saves them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for architecture in SIZES:
        state = network(architecture).state_dict()
        torch.save({"epoch": 3, "loss": 0.5, "state_dict": state}, folder / f"{architecture}.pth.tar")
    return folder


def opened(architecture: str, path: Path) -> FrameCodec:
    return open_codec(architecture, CodecOptions(device="cpu", weights=path))


def frame(width: int = 98, height: int = 66, color: ColorTags | None = None) -> Frame:
    """A part of a real picture."""
    with av.open(str(ASSETS / "hall_320x180.mkv")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="yuv420p")
    y, rest = picture[:180], picture[180:].reshape(2, 90, 160)
    half = (slice((height + 1) // 2), slice((width + 1) // 2))
    return Frame(
        y[:height, :width], rest[0][half], rest[1][half], 5, Fraction(1, 25), 1, color or ColorTags()
    )


def test_all_image_models_of_the_registry_are_codecs(site: Path) -> None:
    listed = {codec.name for codec in installed_codecs() if codec.package == "maevid-compressai"}
    others = {"hrtzxf2022-pcc-rec", "sfu2023-pcc-rec-pointnet", "sfu2024-pcc-rec-pointnet2-ssg", "ssf2020"}
    assert listed == set(SIZES)
    assert {name for name in MODELS if not name.startswith("maevid")} == listed | others
    points = [point for point in entry_points(group="maevid.codecs") if point.name in SIZES]
    assert all(
        str(sys.modules[point.load().func.__module__].__file__).startswith(str(site)) for point in points
    )


@pytest.mark.parametrize("architecture", SIZES)
def test_real_frames_go_there_and_back(architecture: str, checkpoints: Path) -> None:
    codec = opened(architecture, checkpoints / f"{architecture}.pth.tar")
    index = codec.rate_indices[-1]
    for size in ((98, 66), (17, 33)):
        source = frame(*size)
        coded = codec.encode(source, index, reconstruct=True)
        packet = Packet.from_bytes(coded.packet.to_bytes())
        assert (packet.width, packet.height, packet.pts, packet.duration) == (*size, 5, 1)
        assert (packet.latent_check != 0) == codec.latents_checked
        assert sum(coded.parts.values()) == 8 * len(coded.packet.to_bytes())
        for plane, again in zip(coded.reconstruction, codec.decode(packet), strict=True):
            assert np.array_equal(plane, again)
    for outside in (-1, codec.rate_indices[-1] + 1):
        with pytest.raises(ValueError, match="outside"):
            codec.encode(source, outside)


@pytest.mark.parametrize("full_range", [False, True])
def test_strings_and_picture_are_those_of_compressai_itself(checkpoints: Path, full_range: bool) -> None:
    path, color = checkpoints / "mbt2018-mean.pth.tar", ColorTags(matrix=1, full_range=full_range)
    source = frame(128, 64, color)
    coded = opened("mbt2018-mean", path).encode(source, 0, reconstruct=True)
    model = MODELS["mbt2018-mean"].from_state_dict(torch.load(path, weights_only=True)["state_dict"]).eval()
    with torch.inference_mode():
        found = model.compress(torch.from_numpy(rgb_of(source.planes, color))[None])
        rebuilt = model.decompress(found["strings"], found["shape"])["x_hat"][0].numpy()
    assert coded.packet.parts[0].endswith(found["strings"][0][0] + found["strings"][1][0])
    assert len(coded.packet.parts[0]) <= sum(len(strings[0]) for strings in found["strings"]) + 3
    for plane, expected in zip(coded.reconstruction, planes_of(rebuilt, color), strict=True):
        assert np.array_equal(plane, expected)


@pytest.mark.parametrize("architecture", VARIABLE)
def test_one_checkpoint_covers_a_range_of_rates(architecture: str, checkpoints: Path) -> None:
    codec = opened(architecture, checkpoints / f"{architecture}.pth.tar")
    assert codec.rate_indices == range(256)
    lams = [codec.lam(index) for index in codec.rate_indices]
    assert all(low < high for low, high in pairwise(lams))
    assert lams[0] == pytest.approx(0.0018, rel=1e-5)
    assert lams[-1] == pytest.approx(0.18)
    source = frame(64, 64)
    indices = [0, 90, 180, 255]
    there = [codec.encode(source, index).packet.to_bytes() for index in indices]
    assert sorted(map(len, there)) == list(map(len, there))
    assert len(there[-1]) > 1.5 * len(there[0])
    # The tables of the hyper-latents change with the rate; an earlier rate gives the same bytes again.
    assert [codec.encode(source, index).packet.to_bytes() for index in indices[::-1]] == there[::-1]
    for packet in (Packet.from_bytes(there[2]), Packet.from_bytes(there[0])):
        assert codec.decode(packet)[0].shape == (64, 64)


def test_a_folder_of_fixed_rates_is_one_codec(tmp_path: Path) -> None:
    for quality in (1, 2, 3):
        torch.save(network("bmshj2018-hyperprior", quality).state_dict(), tmp_path / f"{quality}.pth")
    codec = opened("bmshj2018-hyperprior", tmp_path)
    assert codec.rate_indices == range(3)
    assert [round(codec.lam(k), 4) for k in range(3)] == [0.0018, 0.0035, 0.0067]
    one = opened("bmshj2018-hyperprior", tmp_path / "2.pth")
    assert one.encode(frame(), 0).packet.parts == codec.encode(frame(), 1).packet.parts
    with pytest.raises(DamagedError, match="rate index"):
        one.decode(Packet(one.identity, 1, 98, 66, 0, 0, (b"x",)))
    with pytest.raises(ModelError, match="one checkpoint"):
        opened("mbt2018-mean-vbr", tmp_path)


def test_a_decoder_that_goes_astray_is_found_out(checkpoints: Path) -> None:
    path = checkpoints / "bmshj2018-hyperprior-vbr.pth.tar"
    packet = opened("bmshj2018-hyperprior-vbr", path).encode(frame(), 255).packet
    other = opened("bmshj2018-hyperprior-vbr", path)
    with torch.no_grad():
        other.model.network.model.h_s[-2].bias += 0.5
    with pytest.raises(LatentError, match="floating point"):
        other.decode(packet)


@pytest.mark.parametrize("architecture", ["bmshj2018-hyperprior", "mbt2018"])
def test_damage_is_told_or_shown_and_nothing_else(architecture: str, checkpoints: Path) -> None:
    codec = opened(architecture, checkpoints / f"{architecture}.pth.tar")
    packet = codec.encode(frame(64, 48), 0).packet
    (data,) = packet.parts
    chance = random.Random(7)
    broken = [
        b"",
        data[:1],
        data[: len(data) // 3],
        bytes(len(data)),
        b"\xff" * len(data),
        chance.randbytes(200),
    ]
    broken.append(data[:1] + b"\xff" * 1000)
    for _ in range(8):
        flipped = bytearray(data)
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        broken.append(bytes(flipped))
    told = 0
    for payload in broken:
        try:
            planes = codec.decode(Packet(packet.model, 0, 64, 48, 0, 0, (payload,), packet.latent_check))
        except DamagedError:
            told += 1
        else:
            assert [plane.shape for plane in planes] == [(48, 64), (24, 32), (24, 32)]
    assert told >= (len(broken) - 3 if codec.latents_checked else 3)
    with pytest.raises(ModelError, match="--weights"):
        codec.decode(Packet(b"none", 0, 64, 48, 0, 0, (data,)))


class Bomb:
    """What a stranger may put into a pickle."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.trace}",)


TABLES_OF_STRANGERS = {
    "gaussian_conditional._cdf_length": lambda lengths: lengths + 5000,
    "gaussian_conditional._quantized_cdf": lambda tables: tables[:8],
    "gaussian_conditional._offset": lambda offsets: offsets[:8],
    "entropy_bottleneck._quantized_cdf": lambda tables: tables.flip(1),
    "entropy_bottleneck._cdf_length": lambda lengths: lengths - 1,
}
"""What would lead CompressAI's coder out of its memory."""


def test_checkpoints_of_strangers_run_nothing(tmp_path: Path, checkpoints: Path) -> None:
    trace = tmp_path / "ran"
    state = torch.load(checkpoints / "mbt2018-mean.pth.tar", weights_only=True)["state_dict"]
    torch.save({"state_dict": state, "more": Bomb(trace)}, tmp_path / "bomb.pth.tar")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Bomb(trace)))
    (tmp_path / "noise.pth").write_bytes(b"no checkpoint at all")
    (tmp_path / "noise.safetensors").write_bytes(b"no checkpoint at all")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for name in ("bomb.pth.tar", "pickle.pth", "noise.pth", "noise.safetensors", "empty.pth", "missing.pth"):
        with pytest.raises(ModelError) as caught:
            opened("mbt2018-mean", tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not trace.exists()
    for architecture in ("bmshj2018-factorized", "mbt2018-mean-vbr", "cheng2020-attn", "elic2022-official"):
        with pytest.raises(ModelError, match=f"does not fit CompressAI's {architecture}"):
            opened(architecture, checkpoints / "mbt2018-mean.pth.tar")
    for name, change in TABLES_OF_STRANGERS.items():
        torch.save({**state, name: change(state[name])}, tmp_path / "tables.pth")
        with pytest.raises(ModelError, match="entropy tables"):
            opened("mbt2018-mean", tmp_path / "tables.pth")
    save_file(state, tmp_path / "same.safetensors")
    same = opened("mbt2018-mean", tmp_path / "same.safetensors")
    assert same.identity == opened("mbt2018-mean", checkpoints / "mbt2018-mean.pth.tar").identity


def test_weights_come_from_the_option_or_the_environment(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAEVID_COMPRESSAI_WEIGHTS", raising=False)
    with pytest.raises(UsageError, match="no weights of its own"):
        open_codec("mbt2018-mean", CodecOptions(device="cpu"))
    monkeypatch.setenv("MAEVID_COMPRESSAI_WEIGHTS", str(checkpoints))
    found = open_codec("mbt2018-mean", CodecOptions(device="cpu"))
    assert found.identity == opened("mbt2018-mean", checkpoints / "mbt2018-mean.pth.tar").identity
    monkeypatch.setenv("MAEVID_COMPRESSAI_WEIGHTS", str(tmp_path))
    with pytest.raises(UsageError, match="no checkpoint of mbt2018-mean"):
        open_codec("mbt2018-mean", CodecOptions(device="cpu"))
    with pytest.raises(UsageError, match="no checkpoint"):
        opened("mbt2018-mean", tmp_path)


def test_the_readme_example_runs_as_it_stands(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```sh\n(.*?)```", (PLUGIN / "README.md").read_text(), re.DOTALL)
    shutil.copy(ASSETS / "hall_320x180.mkv", tmp_path / "in.mp4")
    shutil.copy(checkpoints / "bmshj2018-hyperprior-vbr.pth.tar", tmp_path / "checkpoint.pth.tar")
    monkeypatch.chdir(tmp_path)
    for line in example.splitlines():
        assert main(line.split()[1:]) == 0, capsys.readouterr().err
    with av.open("back.mkv") as container:
        assert sum(1 for _ in container.decode(video=0)) == 12
    assert 8 * Path("out.mkv").stat().st_size / 1.2 == pytest.approx(300_000, rel=0.1)


@pytest.mark.parametrize("name", CONFIGS)
def test_compressai_builds_codes_and_measures_maevids_networks(name: str) -> None:
    import maevid_compressai.networks  # noqa: F401

    torch.manual_seed(2)
    model = MODELS[f"maevid-{name}-vbr"]().eval()
    assert isinstance(model, compressai.models.CompressionModel)
    assert not model.update(force=True)
    x = torch.from_numpy(np.stack([rgb_of(frame(96, 64).planes, ColorTags())] * 2)).clamp(0, 1)
    sizes = []
    for scale in (torch.tensor(0.1), torch.tensor(1.0)):
        rate = {"stage": 2, "s": 0, "inputscale": scale}
        seen = model(x, **rate)
        coded = model.compress(x, **rate)
        rebuilt = model.decompress(coded["strings"], coded["shape"], **rate)["x_hat"]
        assert rebuilt.shape == x.shape
        assert torch.equal(rebuilt, seen["x_hat"])
        assert all(0 < float(p.min()) <= float(p.max()) <= 1 for p in seen["likelihoods"].values())
        bits = sum(float(-torch.log2(p).sum()) for p in seen["likelihoods"].values())
        written = 8 * sum(map(len, coded["strings"][0]))
        assert bits == pytest.approx(written - 2 * 8 * 33, rel=0.02, abs=96)
        sizes.append(written)
    several = len(model.codec.rate_indices) > 1
    assert (sizes[0] < sizes[1]) == several
    levels = [len(model.compress(x[:1], s=s)["strings"][0][0]) for s in (0, 7)]
    assert abs(8 * levels[0] - sizes[0] / 2) < 8
    assert (levels[0] < levels[1]) == several


def test_weights_survive_compressais_way_of_saving_them(tmp_path: Path) -> None:
    from maevid_compressai.networks import MaevidModel

    model = compressai.zoo.image_models["maevid-mae-vbr"](quality=0, metric="mse", pretrained=True).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pth.tar")
    state = torch.load(tmp_path / "model.pth.tar", weights_only=True)["state_dict"]
    again = MODELS["maevid-mae-vbr"].from_state_dict(state)
    assert again.checkpoint.sha256 == model.checkpoint.sha256
    assert again.double().checkpoint.sha256 == model.checkpoint.sha256
    with pytest.raises(ModelError, match="no maevid network"):
        MaevidModel.from_state_dict(network("mbt2018-mean").state_dict())
    with pytest.raises(RuntimeError, match="not yet available"):
        compressai.zoo.image_models["maevid-mae-hyperprior-vbr"](pretrained=True)


def test_compressais_evaluation_runs_the_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from maevid_compressai.__main__ import main as run

    pixels = (rgb_of(frame(320, 180).planes, ColorTags()).clip(0, 1).transpose(1, 2, 0) * 255).round()
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.astype(np.uint8)), "rgb24")
    with av.open(str(tmp_path / "picture.png"), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "rgb24"
        container.mux([*stream.encode(picture), *stream.encode(None)])
    arguments = ["eval_model", "pretrained", str(tmp_path), "-a", "maevid-mae-vbr", "--vbr_quantstep", "10,2"]
    monkeypatch.setattr(sys, "argv", ["maevid_compressai", *arguments])
    assert run() == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert 0 < results["bpp"][0] < results["bpp"][1] < 3
    assert 20 < results["psnr-rgb"][0] < results["psnr-rgb"][1] - 3
    monkeypatch.setattr(sys, "argv", ["maevid_compressai", "export", "missing.safetensors", "out.pth.tar"])
    assert run() == 1
