"""Every pixel format against an independent computation in float64."""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
import pytest

from maevid.video.frame import ColorTags
from maevid.video.pixels import PixelConverter
from maevid.video.rgb import BT601, BT709

Real = npt.NDArray[np.float64]
SIZES = [(16, 16), (15, 17), (1, 1), (2, 2), (3, 6)]


def bits_of(name: str) -> int:
    return av.VideoFormat(name, 16, 16).components[0].bits


def random_picture(name: str, width: int, height: int, seed: int = 7) -> av.VideoFrame:
    """A picture full of noise over the whole range of the format."""
    picture = av.VideoFrame(width, height, name)
    generator = np.random.default_rng(seed)
    depth = bits_of(name)
    for plane in picture.planes:
        data = np.frombuffer(plane, np.uint8)
        if depth <= 8:
            data[:] = generator.integers(0, 256, data.size)
        else:
            samples = data.view("<u2")
            samples[:] = generator.integers(0, 1 << depth, samples.size)
            if name.startswith("p0"):
                samples <<= 16 - depth
    return picture


def samples_of(picture: av.VideoFrame, index: int) -> Real:
    plane = picture.planes[index]
    kind = np.dtype("u1") if bits_of(picture.format.name) <= 8 else np.dtype("<u2")
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width].astype(np.float64)


def smaller(chroma: Real, *, columns: bool, rows: bool) -> Real:
    """Means around the left sample of each pair, and of each pair of rows; edges repeat."""
    if columns:
        padded = np.pad(chroma, ((0, 0), (1, 2)), mode="edge")
        count = (chroma.shape[1] + 1) // 2
        left, middle, right = (padded[:, offset : offset + 2 * count : 2] for offset in (0, 1, 2))
        chroma = (left + 2 * middle + right) / 4
    if rows:
        padded = np.pad(chroma, ((0, chroma.shape[0] % 2), (0, 0)), mode="edge")
        chroma = (padded[0::2] + padded[1::2]) / 2
    return chroma


def to_8_bits(values: Real, depth: int, *, full: bool, chroma: bool) -> npt.NDArray[np.uint8]:
    if full and chroma:
        values = (values - 2 ** (depth - 1)) * 255 / (2**depth - 1) + 128
    elif full:
        values = values * 255 / (2**depth - 1)
    else:
        values = values / 2 ** (depth - 8)
    # The tiny number stands for exact arithmetic: ties of the integer computation round up.
    return np.clip(np.floor(values + 0.5 + 1e-9), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *("yuv420p", "yuv422p", "yuv440p", "yuv444p", "yuva420p"),
        *("yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv440p10le"),
        *("yuv420p12le", "yuv444p12le", "yuv422p16le", "yuv444p14le"),
    ],
)
def test_planar_formats(name: str, full: bool, width: int, height: int) -> None:
    picture = random_picture(name, width, height)
    depth = bits_of(name)
    tags = ColorTags(matrix=9, primaries=9, transfer=16, full_range=full)
    planes, color = PixelConverter().convert(picture, tags)
    assert color == tags
    columns, rows = "444" in name or "440" in name, "444" in name or "422" in name
    np.testing.assert_array_equal(
        planes[0], to_8_bits(samples_of(picture, 0), depth, full=full, chroma=False)
    )
    for index in (1, 2):
        expected = smaller(samples_of(picture, index), columns=columns, rows=rows)
        np.testing.assert_array_equal(planes[index], to_8_bits(expected, depth, full=full, chroma=True))
    assert all(plane.flags.c_contiguous and plane.flags.owndata for plane in planes)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", ["nv12", "nv21", "p010le", "yuyv422", "uyvy422", "yvyu422"])
def test_interleaved_formats(name: str, width: int, height: int) -> None:
    picture = random_picture(name, width, height)
    planes, _ = PixelConverter().convert(picture, ColorTags())
    depth, chroma_width = bits_of(name), (width + 1) // 2
    if name.endswith("422"):
        row_bytes = picture.planes[0].line_size
        data = np.frombuffer(picture.planes[0], np.uint8).reshape(height, row_bytes).astype(np.float64)
        y_at, u_at, v_at = {"yuyv422": (0, 1, 3), "yvyu422": (0, 3, 1), "uyvy422": (1, 0, 2)}[name]
        luma = data[:, [y_at + 2 * x for x in range(width)]]
        u, v = (data[:, [at + 4 * x for x in range(chroma_width)]] for at in (u_at, v_at))
        u, v = smaller(u, columns=False, rows=True), smaller(v, columns=False, rows=True)
    else:
        luma = samples_of(picture, 0)
        kind = np.dtype("u1") if depth == 8 else np.dtype("<u2")
        plane = picture.planes[1]
        pairs = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : 2 * chroma_width]
        u, v = pairs[:, 0::2].astype(np.float64), pairs[:, 1::2].astype(np.float64)
        if name == "nv21":
            u, v = v, u
        if name == "p010le":
            luma, u, v = luma / 64, u / 64, v / 64
    for plane_out, expected, chroma in zip(planes, (luma, u, v), (False, True, True), strict=True):
        np.testing.assert_array_equal(plane_out, to_8_bits(expected, depth, full=False, chroma=chroma))


@pytest.mark.parametrize(
    ("name", "planar"), [("yuv420p10be", "yuv420p10le"), ("y210le", "yuv422p10le"), ("vuyx", "yuv444p")]
)
def test_formats_that_swscale_unpacks_first(name: str, planar: str) -> None:
    original = random_picture(planar, 16, 6)
    packed = original.reformat(format=name)
    expected, _ = PixelConverter().convert(original, ColorTags())
    planes, _ = PixelConverter().convert(packed, ColorTags())
    for plane, wanted in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("name", ["gray", "gray10le", "gray12le", "gray16le", "ya8"])
def test_gray_is_full_range_unless_it_says_otherwise(name: str) -> None:
    picture = random_picture("gray" if name == "ya8" else name, 17, 15)
    luma, depth = samples_of(picture, 0), bits_of(name)
    if name == "ya8":
        picture = picture.reformat(format="ya8")
    planes, color = PixelConverter().convert(picture, ColorTags())
    assert color.full_range is True
    np.testing.assert_array_equal(planes[0], to_8_bits(luma, depth, full=True, chroma=False))
    assert np.all(planes[1] == 128)
    assert planes[2].shape == (8, 9)
    planes, color = PixelConverter().convert(picture, ColorTags(full_range=False))
    assert color.full_range is False
    np.testing.assert_array_equal(planes[0], to_8_bits(luma, depth, full=False, chroma=False))


def test_yuvj_is_full_range_and_untouched() -> None:
    picture = random_picture("yuvj420p", 17, 15)
    planes, color = PixelConverter().convert(picture, ColorTags())
    assert color.full_range is True
    for index, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, samples_of(picture, index))


@pytest.mark.parametrize(("height", "matrix"), [(64, BT601), (719, BT601), (720, BT709)])
@pytest.mark.parametrize("name", ["rgb24", "gbrp", "rgba", "bgr0"])
def test_rgb_becomes_yuv_with_a_stated_matrix(name: str, height: int, matrix: int) -> None:
    generator = np.random.default_rng(3)
    rgb = generator.integers(0, 256, (height, 33, 3), dtype=np.uint8)
    picture = av.VideoFrame.from_ndarray(rgb, "rgb24")
    if name != "rgb24":
        picture = picture.reformat(format=name)
    planes, color = PixelConverter().convert(picture, ColorTags(primaries=1, transfer=13))
    assert color == ColorTags(matrix=matrix, primaries=1, transfer=13, full_range=False)
    red_weight, blue_weight = (0.2126, 0.0722) if matrix == BT709 else (0.299, 0.114)
    red, green, blue = (rgb[..., i].astype(np.float64) / 255 for i in range(3))
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    u = smaller(128 + 224 * (blue - luma) / (2 * (1 - blue_weight)), columns=True, rows=True)
    v = smaller(128 + 224 * (red - luma) / (2 * (1 - red_weight)), columns=True, rows=True)
    for plane, expected in zip(planes, (16 + 219 * luma, u, v), strict=True):
        # Half a level is the rounding itself; the rest is swscale's at 12 bits.
        assert np.abs(plane - expected).max() < 0.6


def test_palettes_are_read() -> None:
    indices = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16) % 2
    palette = np.zeros((256, 4), np.uint8)
    palette[0], palette[1] = (255, 255, 255, 255), (255, 0, 0, 0)
    picture = av.VideoFrame.from_ndarray((indices, palette), "pal8")
    planes, _ = PixelConverter().convert(picture, ColorTags())
    np.testing.assert_array_equal(planes[0], np.where(indices == 0, 235, 16))


@pytest.mark.parametrize(
    ("name", "depth"),
    [("gbrp10le", 10), ("gbrp12le", 12), ("rgb48le", 16), ("gbrp10be", 10), ("rgba64le", 16)],
)
def test_deep_rgb_is_rounded_once(name: str, depth: int) -> None:
    generator = np.random.default_rng(5)
    rgb = generator.integers(0, 1 << depth, (9, 13, 3), dtype=np.uint16)
    rgb[:2, :2] = (1 << depth) - 1
    picture = av.VideoFrame.from_ndarray(rgb, "rgb48le" if depth == 16 else f"gbrp{depth}le")
    if picture.format.name != name:
        picture = picture.reformat(format=name)
    planes, color = PixelConverter().convert(picture, ColorTags())
    assert color.matrix == BT601
    assert planes[0][0, 0] == 235
    red, green, blue = (rgb[..., i] / ((1 << depth) - 1) for i in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    u = smaller(128 + 224 * (blue - luma) / (2 * (1 - 0.114)), columns=True, rows=True)
    v = smaller(128 + 224 * (red - luma) / (2 * (1 - 0.299)), columns=True, rows=True)
    for plane, expected in zip(planes, (16 + 219 * luma, u, v), strict=True):
        assert np.abs(plane - expected).max() < 0.501


def test_411_is_halved_and_doubled() -> None:
    picture = av.VideoFrame(32, 8, "yuv411p")
    for plane, value in zip(picture.planes, (50, 100, 200), strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    planes, _ = PixelConverter().convert(picture, ColorTags())
    assert [int(plane.min()) for plane in planes] == [50, 100, 200]
    assert [int(plane.max()) for plane in planes] == [50, 100, 200]
    assert planes[1].shape == (4, 16)


def test_bottom_up_pictures_are_turned() -> None:
    """Raw RGB in AVI is stored bottom row first; FFmpeg gives it with a negative row length."""
    picture = random_picture("yuv420p", 6, 4)
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=6, height=4, format=av.VideoFormat("yuv420p"), time_base=av.AVRational(1, 25)
    )
    graph.link_nodes(source, graph.add("vflip"), graph.add("buffersink")).configure()
    picture.pts = 0
    graph.push(picture)
    flipped = graph.vpull()
    assert flipped.planes[0].line_size < 0
    planes, _ = PixelConverter().convert(flipped, ColorTags())
    np.testing.assert_array_equal(planes[0], samples_of(picture, 0)[::-1])
    np.testing.assert_array_equal(planes[2], samples_of(picture, 2)[::-1])
