"""``maevid.open``: every way to ask for a picture gives it, reads no other, and says clearly what is wrong."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import maevid
from maevid.errors import DamagedError, InputError, ModelError, UsageError
from maevid.stream.reader import StreamReader

COUNT = 12


@pytest.fixture(scope="module")
def video(coded: Path):
    with maevid.open(coded) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(video) -> np.ndarray:
    return video[:]


def test_import_loads_nothing_heavy():
    code = "import sys, maevid; dir(maevid); print({'torch', 'av', 'numpy', 'textual'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_shape_times_and_facts(video, coded):
    assert len(video) == COUNT
    assert video.shape == (COUNT, 180, 320, 3)
    assert video.path == coded
    assert (video.info.width, video.info.height) == (320, 180)
    assert video.average_rate == 10
    assert video.fps == pytest.approx(10)
    assert video.pts_seconds.tolist() == [i / 10 for i in range(COUNT)]
    assert video.duration_seconds == pytest.approx([0.1] * COUNT)
    assert video.end_seconds == pytest.approx(1.2)
    assert not video.truncated
    assert "12 pictures of 320x180, 10 fps" in repr(video)


def test_planes_are_the_codecs(coded, planes_of):
    with maevid.open(coded, pixels="yuv") as video:
        one, all_of_them = video[3], video[:]
    assert one.y.shape == (180, 320)
    assert one.u.shape == one.v.shape == (90, 160)
    for found, wanted in zip(one, planes_of[3], strict=True):
        assert found.dtype == np.uint8
        assert (found == wanted).all()
    assert (all_of_them.v == np.stack([planes[2] for planes in planes_of])).all()


def test_rgb_is_near_the_source(pictures, hall_frames):
    from maevid.access.codecs import Device
    from maevid.access.output import Output

    frame = hall_frames[4]
    source = Output("numpy", "rgb", Device("cpu")).one(frame.planes, frame.color)
    error = np.square(pictures[4].astype(float) - source).mean()
    assert 10 * np.log10(255**2 / error) > 25


def test_every_way_gives_the_same_picture(video, pictures):
    assert pictures.shape == (COUNT, 180, 320, 3)
    assert pictures.dtype == np.uint8
    assert (video[7] == pictures[7]).all()
    assert (video[np.int64(-5)] == pictures[7]).all()
    assert (video[6:9][1] == pictures[7]).all()
    assert (video[::-4] == pictures[::-4]).all()
    assert video[5:5].shape == (0, 180, 320, 3)
    assert (video.batch([7, 0, -5, 7]) == pictures[[7, 0, 7, 7]]).all()
    assert (np.stack(list(video)) == pictures).all()
    assert (video.at(0.75) == pictures[7]).all()
    timed = video.get_frame_at(-5)
    assert (timed.index, timed.pts_seconds) == (7, 0.7)
    assert timed.duration_seconds == pytest.approx(0.1)
    assert (timed.data == pictures[7]).all()
    stack = video.get_frames_at([7, 2])
    assert stack.index.tolist() == [7, 2]
    assert stack.pts_seconds.tolist() == [0.7, 0.2]
    assert (stack.data == pictures[[7, 2]]).all()
    assert video.get_frame_played_at(0.79).index == 7


def test_a_picture_is_shown_until_the_next_one(video):
    assert [video.index_at(s) for s in (0, 0.0999, 0.1, Fraction(3, 10), 1.1, 1.1999)] == [0, 0, 1, 3, 11, 11]
    for outside in (-0.001, 1.2, 1e9, float("nan")):
        with pytest.raises(IndexError, match=r"outside of .*hall.mkv, which goes from 0 to 1.2 s"):
            video.at(outside)


@pytest.mark.parametrize("index", [COUNT, -COUNT - 1])
def test_indices_beyond_the_ends(video, index):
    with pytest.raises(IndexError, match="which has 12"):
        video[index]
    with pytest.raises(IndexError):
        video.batch([0, index])


def test_indices_of_a_wrong_type(video):
    with pytest.raises(TypeError):
        video[1.0]


def test_tensors(coded, pictures):
    with maevid.open(coded, output="torch") as video:
        assert video.shape == (COUNT, 3, 180, 320)
        picture, stack = video[7], video[6:8]
    assert isinstance(picture, torch.Tensor)
    assert (picture.dtype, picture.device.type) == (torch.uint8, "cpu")
    assert picture.is_contiguous()
    assert (picture.numpy().transpose(1, 2, 0) == pictures[7]).all()
    assert (stack[1] == picture).all()
    with maevid.open(coded, output="torch", pixels="yuv", device="auto") as video:
        assert video[0].u.shape == (90, 160)
        assert isinstance(video[0].y, torch.Tensor)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_the_gpu(coded, pictures):
    for device in ("cuda", "cuda:0"):
        with maevid.open(coded, output="torch", device=device) as video:
            stack = video[:]
        assert stack.device.type == "cuda"
        assert (stack.cpu().numpy().transpose(0, 2, 3, 1).astype(int) - pictures).__abs__().max() <= 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_is_one_gpu_for_good(coded):
    """Whatever thread asks, and whatever its current GPU is; one copy of the weights for both ways to name it."""
    from maevid.access.codecs import Device, shared_codec

    there = Device("cuda")
    assert there.torch == torch.device("cuda", torch.cuda.current_device())
    named = Device(str(there.torch))
    assert shared_codec("mae", there, "auto", None) is shared_codec("mae", named, "auto", None)
    with (
        maevid.open(coded, output="torch", pixels="yuv", device="cuda") as video,
        ThreadPoolExecutor(2) as threads,
    ):
        pictures = list(threads.map(video.__getitem__, range(4)))
    assert {plane.device for picture in pictures for plane in picture} == {there.torch}
    with maevid.open(coded, device="cuda") as video:
        assert isinstance(video[0], np.ndarray)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices here")
def test_another_gpu_from_a_thread_whose_current_one_is_the_first(coded):
    with maevid.open(coded, output="torch", device="cuda:1") as video, ThreadPoolExecutor(1) as threads:
        assert threads.submit(video.__getitem__, 3).result().device == torch.device("cuda:1")
    with torch.cuda.device(1):
        video = maevid.open(coded, output="torch", device="cuda")
    assert video[3].device == torch.device("cuda:1")
    video.close()


def test_wrong_options(coded, hall, tmp_path):
    for options in (
        {"output": "jax"},
        {"pixels": "bgr"},
        {"device": "tpu"},
        {"device": "cpu:1"},
        {"precision": "int4"},
    ):
        with pytest.raises(UsageError):
            maevid.open(coded, **options)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            maevid.open(coded, device="cuda:1")
    with pytest.raises(InputError, match="is not a maevid file"):
        maevid.open(hall)
    with pytest.raises(InputError, match="cannot open"):
        maevid.open(tmp_path / "nothing.mkv")
    with pytest.raises(ModelError, match=r"none\.safetensors: not a usable model file"):
        maevid.open(coded, weights=tmp_path / "none.safetensors")


def test_a_damaged_picture_is_named_and_costs_no_other(coded, pictures, tmp_path):
    data = bytearray(coded.read_bytes())
    with StreamReader(coded) as reader:
        hit = reader.coded(4)
    data[hit.offset + hit.size - 3] ^= 0xFF
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    with maevid.open(damaged) as video:
        with pytest.raises(DamagedError, match="frame 4: "):
            video[4]
        with pytest.raises(DamagedError, match="frame 4: "):
            video[:]
        assert (video[5] == pictures[5]).all()
        whole, steps = [], iter(video)
        for number in range(COUNT):
            try:
                whole.append((next(steps) == pictures[number]).all())
            except DamagedError:
                assert number == 4
    assert whole == [True] * (COUNT - 1)


def test_a_closed_reader(coded):
    video = maevid.open(coded)
    video.close()
    with pytest.raises(ValueError, match="closed"):
        video[0]


@pytest.mark.skipif(
    not Path("/proc/thread-self/io").exists(), reason="the kernel does not count what is read"
)
def test_one_picture_reads_one_packet(coded, tmp_path):
    """A file of 480 pictures: opening it reads headers, a picture its packet."""
    from maevid.stream.writer import StreamWriter

    def bytes_read() -> int:
        return int(Path("/proc/thread-self/io").read_text().split()[1])

    path = tmp_path / "long.mkv"
    with StreamReader(coded) as reader:
        packets = [reader.packet(i) for i in range(COUNT)]
        described = reader.described
        with StreamWriter(
            path, reader.info, codec="mae", model=described.model, weights=described.weights
        ) as writer:
            for number in range(40 * COUNT):
                packet = packets[number % COUNT]
                writer.write(
                    type(packet)(
                        packet.model,
                        packet.rate_index,
                        packet.width,
                        packet.height,
                        number * packet.duration,
                        packet.duration,
                        packet.parts,
                        packet.latent_check,
                    )
                )
    with maevid.open(path) as video:
        video[0]
        assert len(video) == 480
        before = bytes_read()
        own = bytes_read() - before
        picture = video[333]
        used = bytes_read() - before - 2 * own
        packet = len(packets[333 % COUNT].to_bytes())
        assert packet <= used <= packet + 200
        assert video.get_frame_played_at(33.35).index == 333
        with maevid.open(coded) as short:
            assert (picture == short[333 % COUNT]).all()


def test_from_several_threads(video, pictures):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: (video[i] == pictures[i]).all(), [*range(COUNT)] * 2))
    assert all(found)


def test_pickled(coded, pictures):
    with maevid.open(coded, output="torch") as video:
        copy = pickle.loads(pickle.dumps(video))
    with copy:
        assert (copy[3].numpy().transpose(1, 2, 0) == pictures[3]).all()


def test_forked_while_other_threads_read(video, pictures):
    """Bare forks, from a process that decodes in other threads at that moment."""
    stop = threading.Event()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)

    def keep_reading() -> None:
        while not stop.is_set():
            video[1]

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for _ in range(3):
            child = os.fork()
            if child == 0:
                same = False
                signal.alarm(300)
                try:
                    same = bool((video.batch([2, 8]) == pictures[[2, 8]]).all())
                finally:
                    os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        reader.join()
        torch.set_num_threads(threads)
