"""The plugin, installed for real into a fresh folder: imageio and Pillow read and write maevid's files with it."""

from __future__ import annotations

import importlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import maevid

iio = pytest.importorskip("imageio.v3")
Image = pytest.importorskip("PIL.Image")

PLUGIN = Path(__file__).parents[1]
ROOT = PLUGIN.parents[1]


@pytest.fixture(scope="module", autouse=True)
def installed(site: Path) -> Iterator[None]:
    """The installed package, and no other copy of it, for this process."""
    sys.path.insert(0, str(site))
    package = importlib.import_module("imageio_maevid")
    assert Path(package.__file__).is_relative_to(site)
    yield
    sys.path.remove(str(site))


def picture(number: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:50, :66]
    return np.stack([4 * rows + 5 * number, 3 * columns, rows + columns], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack([picture(number) for number in range(6)])


@pytest.fixture(scope="module")
def movie(installed, pictures, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "x.mkv"
    iio.imwrite(path, pictures, plugin="maevid", fps=30, quality=80)
    return path


@pytest.fixture(scope="module")
def truth(movie) -> np.ndarray:
    with maevid.open(movie) as video:
        return video[:]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def test_readme_example_runs(tmp_path, monkeypatch):
    example = re.search(r"```python\n(.*?)```", (PLUGIN / "README.md").read_text(), re.S)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example[1], names)
    assert names["still"].shape == (144, 176, 3)
    assert names["brightest"] >= 200
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame.maev", "x.mkv"]


def test_import_loads_no_torch(site):
    code = "import sys, imageio_maevid; print({'torch', 'av'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_read(movie, truth, pictures):
    assert (iio.imread(movie, plugin="maevid") == truth).all()
    assert (iio.imread(movie, plugin="maevid", index=...) == truth).all()
    assert (iio.imread(movie, plugin="maevid", index=4) == truth[4]).all()
    assert (iio.imread(movie, plugin="maevid", index=-1) == truth[5]).all()
    assert (np.stack(list(iio.imiter(movie, plugin="maevid"))) == truth).all()
    assert (iio.imread(movie.read_bytes(), plugin="maevid", index=2) == truth[2]).all()
    assert min(map(psnr, truth, pictures)) > 30
    with pytest.raises(IndexError, match="which has 6"):
        iio.imread(movie, plugin="maevid", index=6)


def test_properties_and_metadata(movie):
    whole, one = (iio.improps(movie, plugin="maevid", index=i) for i in (..., 1))
    assert (whole.shape, whole.n_images, whole.is_batch) == ((6, 50, 66, 3), 6, True)
    assert (one.shape, one.dtype, one.is_batch) == ((50, 66, 3), np.uint8, False)
    facts = iio.immeta(movie, plugin="maevid")
    assert facts["fps"] == pytest.approx(30)
    assert facts["duration"] == pytest.approx(0.2)
    assert facts["source_pixel_format"] == "rgb24"
    assert iio.immeta(movie, plugin="maevid", index=3)["pts_seconds"] == pytest.approx(0.1)
    with pytest.raises(IndexError):
        iio.improps(movie, plugin="maevid", index=6)


def test_write_step_by_step(tmp_path, pictures):
    path = tmp_path / "steps.mkv"
    with iio.imopen(path, "w", plugin="maevid") as file:
        file.write(pictures[0], fps=10, quality=50)
        file.write(list(pictures[1:3]))
        assert not path.exists()
    with maevid.open(path) as video:
        assert (len(video), video.average_rate) == (3, 10)
    iio.imwrite(path, pictures[..., 0], plugin="maevid", quality=50)
    with maevid.open(path) as video:
        assert (len(video), video.info.pixel_format) == (6, "gray")


def fail_midway(path: Path) -> None:
    with iio.imopen(path, "w", plugin="maevid") as file:
        file.write(picture())
        raise ZeroDivisionError


def test_failures(tmp_path, movie, pictures):
    path = tmp_path / "x.mkv"
    with pytest.raises(ZeroDivisionError):
        fail_midway(path)
    assert not list(tmp_path.iterdir())
    for target in (tmp_path / "x.mp4", "<bytes>"):
        with pytest.raises(OSError, match="can not handle"):
            iio.imwrite(target, pictures, plugin="maevid", extension=None if target != "<bytes>" else ".mkv")
    with pytest.raises(maevid.MaevidError, match="one still picture"):
        iio.imwrite(tmp_path / "x.maev", pictures, plugin="maevid")
    other = ROOT / "tests" / "assets" / "hall_320x180.mkv"
    with pytest.raises(OSError, match="can not handle") as caught:
        iio.imread(other, plugin="maevid")
    assert "is not a maevid file" in str(caught.value.__cause__)
    with pytest.raises(OSError, match="cannot identify image file"):
        Image.open(other)


def test_a_still_through_imageio(tmp_path):
    path = tmp_path / "x.maev"
    iio.imwrite(path, picture(), quality=85)
    found = iio.imread(path)
    assert psnr(found, picture()) > 30
    assert iio.improps(path).shape == (50, 66, 3)
    assert iio.imread(path, plugin="maevid", index=...).shape == (1, 50, 66, 3)
    assert len(list(iio.imiter(path))) == 1
    assert iio.immeta(path)["codec"] == "mae"
    with Image.open(path) as opened:
        assert (np.asarray(opened) == found).all()


def test_a_still_through_pillow(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "MAEV", quality=85)
    stream.seek(0)
    with Image.open(stream) as opened:
        assert (opened.format, opened.mode, opened.size, opened.n_frames) == ("MAEV", "RGB", (66, 50), 1)
        assert opened.get_format_mimetype() == "image/x-maevid"
        assert psnr(np.asarray(opened), picture()) > 30
        with pytest.raises(EOFError):
            opened.seek(1)
    Image.fromarray(picture()[..., 0]).save(tmp_path / "grey.maev")
    with Image.open(tmp_path / "grey.maev") as opened:
        assert psnr(np.asarray(opened)[..., 1], picture()[..., 0]) > 25
    with pytest.raises(OSError, match="cannot write mode RGBA"):
        Image.new("RGBA", (8, 8)).save(tmp_path / "x.maev")
    with pytest.raises(OSError, match="from 0 to 100"):
        Image.new("RGB", (8, 8)).save(tmp_path / "x.maev", quality=200)


def test_a_damaged_still(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "MAEV")
    data = bytearray(stream.getvalue())
    data[-4] ^= 1
    with pytest.raises(OSError, match="check value"):
        Image.open(io.BytesIO(data))


def test_seek_in_a_video(movie, truth):
    with Image.open(movie) as video:
        assert (video.n_frames, video.is_animated, video.size, video.tell()) == (6, True, (66, 50), 0)
        for number in (3, 0, 5):
            video.seek(number)
            assert video.tell() == number
            assert (np.asarray(video) == truth[number]).all()
        assert (video.info["timestamp"], video.info["duration"]) == (167, 33)
        with pytest.raises(EOFError):
            video.seek(6)
        assert (np.asarray(video.copy()) == truth[5]).all()
