"""``maevid.Dataset`` under PyTorch's own DataLoader: in this process, in forked and in spawned workers."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, random_split

import maevid
from maevid.access import dataset as dataset_module
from maevid.errors import DamagedError, InputError, UsageError
from maevid.stream.reader import StreamReader


@pytest.fixture(scope="module")
def files(coded: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The coded clip of 12 pictures, and one of 5 other pictures of that size."""
    path = tmp_path_factory.mktemp("more") / "more.mkv"
    with maevid.Writer(path, fps=5, quality=20) as writer:
        for number in range(5):
            writer.write(np.full((180, 320, 3), 40 * number, np.uint8))
    return [coded, path]


@pytest.fixture(scope="module")
def truth(files) -> dict[Path, torch.Tensor]:
    found = {}
    for path in files:
        with maevid.open(path, output="torch") as video:
            found[path] = video[:]
    return found


def half(item: torch.Tensor) -> torch.Tensor:
    return item[..., ::2, ::2]


def test_single_pictures(files, truth):
    data = maevid.Dataset(files)
    assert len(data) == 17
    assert data.where(11) == (files[0], 11)
    assert data.where(-5) == (files[1], 0)
    assert data[3].shape == (3, 180, 320)
    assert torch.equal(data[3], truth[files[0]][3])
    assert torch.equal(data[np.int64(-1)], truth[files[1]][4])
    for index in (17, -18):
        with pytest.raises(IndexError, match="a data set of 17"):
            data[index]
    data.close()
    assert torch.equal(data[12], truth[files[1]][0])


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({"clip_length": 4}, [(0, 0), (0, 4), (0, 8), (1, 0)]),
        ({"clip_length": 1}, [(0, i) for i in range(12)] + [(1, i) for i in range(5)]),
        ({"clip_length": 4, "clip_step": 3}, [(0, 0), (0, 3), (0, 6), (1, 0)]),
        ({"clip_length": 3, "frame_step": 3}, [(0, 0)]),
        ({"clip_length": 3, "frame_step": 2, "clip_step": 2}, [(0, 0), (0, 2), (0, 4), (0, 6), (1, 0)]),
    ],
)
def test_clips(files, truth, options, starts):
    data = maevid.Dataset(files, **options)
    assert [data.where(i) for i in range(len(data))] == [(files[file], start) for file, start in starts]
    step, length = options.get("frame_step", 1), options["clip_length"]
    path, start = data.where(len(data) - 1)
    assert torch.equal(data[-1], truth[path][start : start + length * step : step])
    assert len(data[-1]) == length


@pytest.mark.parametrize(("workers", "method"), [(0, None), (2, "fork"), (1, "spawn")])
def test_data_loader(files, truth, workers, method):
    data = maevid.Dataset(files, clip_length=2, transform=half)
    # Opened here first: forked workers get open files and a codec whose threads they do not have.
    assert torch.equal(data[0], half(truth[files[0]][:2]))
    loader = DataLoader(
        data,
        batch_size=3,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=method,
        timeout=300 if workers else 0,
        generator=torch.Generator().manual_seed(1),
    )
    found = torch.cat(list(loader))
    assert found.shape == (8, 2, 3, 90, 160)
    wanted = [half(truth[path][start : start + 2]) for path, start in map(data.where, range(8))]
    matches = [[torch.equal(a, b) for b in wanted] for a in found]
    assert Counter(row.index(True) for row in matches) == Counter(range(8))


def test_split_pickled_and_from_threads(files, truth):
    data = pickle.loads(pickle.dumps(maevid.Dataset(str(files[0]))))
    part, _ = random_split(data, [5, 7], generator=torch.Generator().manual_seed(0))
    assert torch.equal(part[0], truth[files[0]][part.indices[0]])
    with ThreadPoolExecutor(4) as pool:
        same = pool.map(lambda i: torch.equal(data[i], truth[files[0]][i]), range(12))
    assert all(same)


def test_arrays_and_planes(files):
    assert isinstance(maevid.Dataset(files, output="numpy")[0], np.ndarray)
    assert maevid.Dataset(files, pixels="yuv", clip_length=2)[0].u.shape == (2, 90, 160)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the kernel does not list open files")
def test_few_files_stay_open(coded, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "OPEN_FILES", 2)
    paths = [Path(shutil.copy(coded, tmp_path / f"{i}.mkv")) for i in range(5)]
    data = maevid.Dataset(paths)
    before = len(os.listdir("/proc/self/fd"))
    for start in range(0, 60, 12):
        data[start]
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_what_cannot_be(files, hall, tmp_path):
    for options, says in (
        ({"clip_length": 0}, "clip_length is at least 1"),
        ({"clip_step": 0}, "clip_step is at least 1"),
        ({"clip_length": 13}, "no clip of 13 pictures in 2 files"),
    ):
        with pytest.raises(UsageError, match=says):
            maevid.Dataset(files, **options)
    with pytest.raises(UsageError, match="in 0 files"):
        maevid.Dataset([])
    with pytest.raises(InputError, match="is not a maevid file"):
        maevid.Dataset([*files, hall])


def test_damage_is_told_from_a_worker(files, tmp_path):
    data = bytearray(files[0].read_bytes())
    with StreamReader(files[0]) as reader:
        hit = reader.coded(1)
    data[hit.offset + hit.size - 1] ^= 1
    (tmp_path / "damaged.mkv").write_bytes(data)
    loader = DataLoader(maevid.Dataset(tmp_path / "damaged.mkv"), num_workers=1, timeout=300)
    steps = iter(loader)
    next(steps)
    with pytest.raises(DamagedError, match="frame 1: "):
        next(steps)
