"""The compiled loops beside the layers as they are trained: the same numbers where those are exact, else the same bytes
whatever the threads, and pictures that nobody can tell apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from maevid.bench.pictures import synthetic_frames
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec, open_mae
from maevid.model import fused
from maevid.model.fused.products import Levels, Product
from maevid.model.integer import IntegerPointwise
from maevid.model.network import Network
from maevid.model.workers import share, side_by_side
from maevid.video.frame import Frame

SIZES = ((64, 48), (176, 98), (2, 2), (18, 130))
RATES = (20, 148, 255)


def opened(precision: str = "bfloat16") -> MaeCodec:
    codec = open_mae(CodecOptions(device="cpu", precision=precision))
    assert isinstance(codec, MaeCodec)
    return codec


@pytest.fixture(scope="module")
def quick() -> MaeCodec:
    if not fused.available():
        pytest.skip("Numba does not work here, so nothing is fused")
    return opened()


@pytest.fixture(scope="module")
def plain() -> Iterator[MaeCodec]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "available", lambda: False)
        yield opened()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def frames(size: tuple[int, int]) -> list[Frame]:
    """Corners of pictures that are large enough to have a spectrum."""
    width, height = size
    return [
        replace(
            f, y=f.y[:height, :width], u=f.u[: height // 2, : width // 2], v=f.v[: height // 2, : width // 2]
        )
        for f in synthetic_frames(max(width, 64), max(height, 64), len(RATES))
    ]


def quantised(network: Network, latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
    out = network.quantise(latents, network.index_tensor(RATES))
    return out.hyper, out.symbols, out.tables, out.latents


@pytest.mark.parametrize("size", SIZES)
def test_the_entropy_model_is_the_same_to_the_last_bit(
    quick: MaeCodec, plain: MaeCodec, size: tuple[int, int]
) -> None:
    indices = quick.network.index_tensor(RATES)
    latents = plain.network.analyse(plain.network.load([f.planes for f in frames(size)]), indices)
    hyper = quantised(plain.network, latents)[0].float()
    conditions = plain.network.conditions(indices)
    results = []
    for network in (quick.network, plain.network):
        features = network.features(hyper.int().numpy(), conditions, *latents.shape[-2:])
        with torch.inference_mode():
            results.append((features, *network._quantise(latents, features, conditions)))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


# Of samples that differ by one, few choose another post filter.
@pytest.mark.parametrize(("filtered", "most"), [(False, 1), (True, 10)])
@pytest.mark.parametrize("size", SIZES)
def test_each_decodes_what_the_other_encoded(
    quick: MaeCodec,
    plain: MaeCodec,
    size: tuple[int, int],
    filtered: bool,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not filtered:
        for codec in (quick, plain):
            monkeypatch.setattr(codec.network, "post_filter", None)
    for writer, reader in ((quick, plain), (plain, quick)):
        for encoded in writer.encode_batch(frames(size), RATES, reconstruct=True):
            assert encoded.reconstruction is not None
            for ours, theirs in zip(encoded.reconstruction, reader.decode(encoded.packet), strict=True):
                off = np.abs(ours.astype(int) - theirs)
                assert (off > 1).mean() < 0.005
                assert off.max() <= most
                assert off.mean() < 0.1


def test_rate_and_quality_are_those_of_the_plain_transforms(quick: MaeCodec, plain: MaeCodec) -> None:
    pictures = frames((320, 240))
    for ours, theirs in zip(
        *(codec.encode_batch(pictures, RATES, reconstruct=True) for codec in (quick, plain)), strict=True
    ):
        assert len(ours.packet.parts[0]) == pytest.approx(len(theirs.packet.parts[0]), rel=0.002, abs=4)


def test_bytes_do_not_depend_on_threads(quick: MaeCodec, threads: None) -> None:
    written = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        coded = quick.encode_batch(frames((320, 240)), RATES)
        written.append([encoded.packet.to_bytes() for encoded in coded])
    assert written[0] == written[1] == written[2]


def test_pictures_beside_one_another_have_one_thread_of_pytorchs_each(threads: None) -> None:
    torch.set_num_threads(2)
    assert side_by_side(2, lambda _: torch.get_num_threads(), range(6)) == [1] * 6
    assert torch.get_num_threads() == 2
    # What a thread has becomes nobody else's.
    with ThreadPoolExecutor(1) as other:
        assert other.submit(torch.get_num_threads).result() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_loops_go_on_in_a_forked_process(quick: MaeCodec, threads: None) -> None:
    """The threads of the parent are not there in the child."""
    torch.set_num_threads(2)
    done: list[int] = []
    share(lambda start, end: done.extend((start, end)), 1000)
    child = os.fork()
    if child == 0:
        again: list[int] = []
        share(lambda start, end: again.extend((start, end)), 1000)
        os._exit(0 if sorted(again) == [0, 500, 500, 1000] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(done) == [0, 500, 500, 1000]


def test_weights_at_the_ends_of_int8_are_taken_whole() -> None:
    levels = Levels(2.0**-5)
    layer = IntegerPointwise(3, 4, levels.step)
    whole = torch.tensor([[-128, 127, 1], [64, -3, 5], [-64, 2, 0], [0, 0, 0]], dtype=torch.float32)
    layer.weight = torch.nn.Parameter(
        whole * torch.tensor([1.0, 0.5, 0.25, 1.0])[:, None], requires_grad=False
    )
    product = Product(layer, levels)
    activations = torch.tensor([[-256, 255, 77], [255, -256, 1]])
    parts = levels.empty(2, 3)
    if levels.parts == 2:
        parts[0], parts[1] = activations >> 1, activations & 1
    else:
        parts[0] = activations
    raw = product(parts).astype(np.float64)
    found = (2 * raw[0] + raw[1] if levels.parts == 2 else raw[0]) * product.scale
    assert np.array_equal(found, activations.double() * levels.step @ layer.weight.double().T)
