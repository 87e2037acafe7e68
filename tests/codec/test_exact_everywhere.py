"""A packet coded under any arithmetic decodes to the same latents under every other, and one command gives one file.

Encoders may differ in precision and so in bytes; what a packet means may not differ.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec, open_mae
from maevid.model import fused
from maevid.model.integer import IntegerPointwise
from maevid.stream.packet import Packet
from maevid.video.frame import Frame

CASES = [(16, 16, 255), (70, 50, 200), (320, 180, 140), (33, 97, 30)]


def crop(frame: Frame, width: int, height: int) -> Frame:
    half = (slice((height + 1) // 2), slice((width + 1) // 2))
    return Frame(frame.y[:height, :width], frame.u[half], frame.v[half], frame.pts, frame.time_base)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def default_type(kind: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def opened(precision: str = "float32", device: str = "cpu") -> MaeCodec:
    codec = open_mae(CodecOptions(device, precision))
    assert isinstance(codec, MaeCodec)
    return codec


def in_channels_last() -> MaeCodec:
    codec = opened()
    codec.network.model.to(memory_format=torch.channels_last)
    features = codec.network.model.entropy.features
    codec.network.model.entropy.features = lambda *given: features(*given).to(
        memory_format=torch.channels_last
    )
    return codec


def with_permuted_sums() -> MaeCodec:
    """Every 1×1 layer adds its products in an order of its own."""
    with pytest.MonkeyPatch.context() as patch:
        # The compiled loops take the layers' weights when they are made.
        patch.setattr(fused, "available", lambda: False)
        codec = opened()
    random = torch.Generator().manual_seed(3)
    for layer in codec.network.model.modules():
        if isinstance(layer, IntegerPointwise):
            order = torch.randperm(layer.weight.shape[1], generator=random)
            layer.weight = torch.nn.Parameter(layer.weight[:, order].contiguous(), requires_grad=False)
            layer.register_forward_pre_hook(lambda _, given, order=order: (given[0][:, order], *given[1:]))
    return codec


def in_float32() -> MaeCodec:
    """As where int8 is not fast, or not known to be exact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maevid.model.fused.products.bytes_multiply_fast", lambda: False)
        codec = opened()
    assert codec.network.entropy_precision == "float32"
    return codec


@pytest.fixture(scope="module")
def float32() -> MaeCodec:
    return opened()


@pytest.fixture(scope="module")
def coded(float32: MaeCodec, hall_frames: list[Frame]) -> list[tuple[Packet, np.ndarray]]:
    """Packets of several encoders, each with the latents that the encoder itself had in mind."""
    made = []
    encoders: list[tuple[MaeCodec, AbstractContextManager[object]]] = [
        (float32, threads(1)),
        (float32, torch.backends.mkldnn.flags(enabled=False)),
        (opened("bfloat16"), threads(2)),
        (in_channels_last(), nullcontext()),
        (with_permuted_sums(), nullcontext()),
        (in_float32(), nullcontext()),
    ]
    for codec, state in encoders:
        with state:
            for width, height, index in CASES:
                frame = crop(hall_frames[2], width, height)
                network, indices = codec.network, codec.network.index_tensor([index])
                analysed = network.analyse(network.load([frame.planes]), indices)
                intended = network.quantise(analysed, indices).latents[0]
                packet = codec.encode(frame, index).packet
                made.append((packet, (intended / network.config.mean_step).to(torch.int32).numpy()))
    assert len({packet.to_bytes() for packet, _ in made}) > len(CASES), "the encoders should differ a little"
    return made


DECODERS: dict[str, tuple[Callable[[], MaeCodec], Callable[[], AbstractContextManager[object]]]] = {
    "1 thread": (opened, lambda: threads(1)),
    "2 threads": (opened, lambda: threads(2)),
    "3 threads": (opened, lambda: threads(3)),
    "bfloat16": (lambda: opened("bfloat16"), nullcontext),
    "no oneDNN": (opened, lambda: torch.backends.mkldnn.flags(enabled=False)),
    "channels last": (in_channels_last, nullcontext),
    "permuted sums": (with_permuted_sums, nullcontext),
    "products in float32": (in_float32, nullcontext),
    "caller's autocast": (opened, lambda: torch.autocast("cpu", torch.bfloat16)),
    "caller's default type": (opened, lambda: default_type(torch.float64)),
    "caller's default type, bfloat16": (opened, lambda: default_type(torch.bfloat16)),
}


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_gives_the_same_latents(name: str, coded) -> None:
    make, state = DECODERS[name]
    with state():
        codec = make()
        for packet, intended in coded:
            assert np.array_equal(codec.latent_levels(packet), intended)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler, g++ is not here")
@pytest.mark.skipif("MAEVID_THOROUGH" not in os.environ, reason="takes a minute: set MAEVID_THOROUGH=1")
@pytest.mark.parametrize("part", ["features", "first", "second"])
def test_a_compiled_entropy_model_gives_the_same_latents(part: str, coded) -> None:
    """Each of its parts; the second pass holds every kind of layer and the most arithmetic between them."""
    codec = opened()
    entropy = codec.network.model.entropy
    setattr(entropy, part, torch.compile(getattr(entropy, part), dynamic=False))
    packet, intended = coded[1]
    assert np.array_equal(codec.latent_levels(packet), intended)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("tf32", [False, True])
def test_cuda_gives_the_same_latents(precision: str, tf32: bool, coded, float32, hall_frames) -> None:
    codec = opened(precision, "cuda")
    with torch.backends.cudnn.flags(allow_tf32=tf32):
        for packet, intended in coded:
            assert np.array_equal(codec.latent_levels(packet), intended)
        for width, height, index in CASES:
            packet = codec.encode(crop(hall_frames[2], width, height), index).packet
            assert np.array_equal(float32.latent_levels(packet), codec.latent_levels(packet))


def test_a_batch_decides_probabilities_as_single_frames_do(float32, hall_frames) -> None:
    """The entropy model on eight pictures at once, against each on its own."""
    network, indices = float32.network, list(range(10, 250, 30))
    latents = network.analyse(
        network.load([f.planes for f in hall_frames[:8]]), network.index_tensor(indices)
    )
    together = network.quantise(latents, network.index_tensor(indices))
    for row, index in enumerate(indices):
        alone = network.quantise(latents[row : row + 1], network.index_tensor([index]))
        assert torch.equal(alone.latents[0], together.latents[row])
        assert torch.equal(alone.tables[0], together.tables[row])
        assert torch.equal(alone.hyper[0], together.hyper[row])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (33, 65), (176, 144), (320, 180)])
def test_batch_and_threads_do_not_change_bytes(precision: str, width: int, height: int, hall_frames) -> None:
    codec = opened(precision)
    frames = [crop(frame, width, height) for frame in hall_frames[:8]]
    indices = [10, 60, 100, 128, 150, 180, 220, 255]
    with threads(1):
        single = [codec.encode(*given).packet.to_bytes() for given in zip(frames, indices, strict=True)]
    for count in (1, 2, 3):
        for batch in (1, 3, 8):
            with threads(count):
                made = codec.encode_batch(frames[:batch], indices[:batch])
            assert [e.packet.to_bytes() for e in made] == single[:batch], (count, batch)


def test_without_onednn_large_batches_are_exact_too(float32, hall_frames) -> None:
    """PyTorch then convolves batches of 16 and more by Fourier transform, which rounds."""
    frames = 2 * [crop(frame, 64, 48) for frame in hall_frames[:10]]
    indices = list(range(40, 240, 10))
    with torch.backends.mkldnn.flags(enabled=False):
        single = [float32.encode(*given).packet for given in zip(frames, indices, strict=True)]
        batch = [encoded.packet for encoded in float32.encode_batch(frames, indices)]
    assert batch == single
    for packet in batch:
        float32.check(packet)


WORKER = """
import pickle, sys, torch
sys.path.insert(0, sys.argv[1])
from maevid.codec.entropy.kernels import kernels_in_use
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import open_mae
codec = open_mae(CodecOptions("cpu", "float32"))
packets, frames = pickle.load(sys.stdin.buffer)
made = [codec.encode(*given).packet for given in frames]
answer = [codec.latent_levels(p) for p in packets], made, [codec.latent_levels(p) for p in made]
about = torch.backends.cpu.get_cpu_capability(), kernels_in_use()
sys.stdout.buffer.write(pickle.dumps((answer, about)))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "2"},
        {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "NUMBA_DISABLE_JIT": "1"},
        # Hardware that multiplies in bfloat16 wherever float32 is asked for.
        {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"},
    ],
    ids=["AVX2", "SSE4.1, interpreted", "bfloat16 products"],
)
def test_another_machine_gives_the_same_latents(environment, coded, float32, hall_frames) -> None:
    """Fresh processes, as if on older processors; packets go both ways."""
    frames = [(crop(hall_frames[5], width, height), index) for width, height, index in CASES]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(Path(__file__).parents[2])],
        input=pickle.dumps(([packet for packet, _ in coded], frames)),
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    (levels, packets, theirs), (capability, kernels) = pickle.loads(done.stdout)
    assert all(np.array_equal(found, intended) for found, (_, intended) in zip(levels, coded, strict=True))
    for packet, found in zip(packets, theirs, strict=True):
        assert np.array_equal(float32.latent_levels(packet), found)
    wanted = environment.get("ATEN_CPU_CAPABILITY")
    assert wanted is None or wanted.upper() in {capability, "AVX2"}
    assert (kernels == "interpreted") == ("NUMBA_DISABLE_JIT" in environment)
