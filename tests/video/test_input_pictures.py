"""Every size, pixel format and colour through the whole program: a player shows the same picture before and after."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from round_trip import Trip, as_rgb, round_trip, scene, seen, write_scene
from video_clips import write_clip

import maevid
from maevid.video.frame import ColorTags, Frame
from maevid.video.pixels import PixelConverter
from maevid.video.reader import VideoReader

UNSPECIFIED = 2


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (2, 2), (15, 17), (16, 16), (17, 15), (4096, 16), (16, 4096)]
)
def test_every_size(width: int, height: int, tmp_path: Path) -> None:
    trip = round_trip(write_scene(tmp_path / "a.mkv", width=width, height=height))
    assert (trip.info.width, trip.info.height) == (width, height)
    assert seen(trip.back)[0].shape == (height, width, 3)
    assert trip.psnr() > 33
    assert trip.notes == []


def test_one_frame_of_4k(tmp_path: Path) -> None:
    trip = round_trip(write_scene(tmp_path / "a.mkv", width=3840, height=2160, frames=1), quality=40)
    assert trip.psnr() > 36


@pytest.mark.parametrize(
    ("pixel_format", "encoder"),
    [
        *((name, "ffv1") for name in ("gray", "gray10le", "gray12le")),
        *((f"yuv{name}p", "ffv1") for name in ("420", "422", "444", "440", "411", "410")),
        *((f"yuv{name}p10le", "ffv1") for name in ("420", "422", "444")),
        *((f"yuv{name}p12le", "ffv1") for name in ("420", "422", "444")),
        *((f"yuvj{name}p", "mjpeg") for name in ("420", "422", "444")),
        *(("rgb24", "png"), ("gbrp", "utvideo"), ("gbrp10le", "ffv1"), ("bgr0", "ffv1"), ("pal8", "png")),
        *(("nv12", "rawvideo"), ("uyvy422", "rawvideo")),
    ],
)
def test_every_pixel_format(pixel_format: str, encoder: str, tmp_path: Path) -> None:
    source = tmp_path / "a.nut"
    if pixel_format == "pal8":
        write_palette(source)
    else:
        write_scene(source, pixel_format=pixel_format, encoder=encoder)
    trip = round_trip(source)
    assert trip.info.pixel_format == pixel_format
    assert trip.psnr() > 33
    assert trip.notes == []


def write_palette(path: Path) -> None:
    """Sixteen stripes of colour, which swscale will not make a palette of."""
    generator = np.random.default_rng(5)
    palette = np.concatenate([np.full((256, 1), 255), generator.integers(40, 220, (256, 3))], axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25, width=64, height=48)
        stream.pix_fmt = "pal8"
        for number in range(2):
            stripes = np.repeat(np.arange(3) + number, 16)[:, None].repeat(64, axis=1)
            picture = av.VideoFrame.from_ndarray(
                (stripes.astype(np.uint8), palette.astype(np.uint8)), format="pal8"
            )
            picture.pts = number
            container.mux(stream.encode(picture))


def test_alpha_is_dropped_and_told(tmp_path: Path) -> None:
    trip = round_trip(write_scene(tmp_path / "a.nut", pixel_format="rgba", encoder="png"))
    assert trip.notes == ["transparency (rgba) is dropped"]
    assert trip.psnr() > 33


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    "tags",
    [(5, 5, 6), (6, 6, 6), (1, 1, 1), (9, 9, 14), (9, 9, 16), (9, 9, 18)],
    ids=["BT.601-625", "BT.601-525", "BT.709", "BT.2020", "PQ", "HLG"],
)
def test_colour_tags_are_carried(tags: tuple[int, int, int], full: bool, tmp_path: Path) -> None:
    """In the maevid file and in what it decompresses to, and the samples are those that the tags speak of."""
    pixel_format = "yuv420p10le" if tags[0] == 9 else "yuv420p"
    trip = round_trip(write_scene(tmp_path / "a.mkv", pixel_format=pixel_format, tags=tags, full=full))
    color = trip.info.color
    assert (color.matrix, color.primaries, color.transfer, color.full_range) == (*tags, full)
    with VideoReader(trip.back) as reader:
        assert reader.info.color == color
    assert trip.psnr() > 33


def test_an_untagged_clip_stays_untagged(tmp_path: Path) -> None:
    color = round_trip(write_scene(tmp_path / "a.nut")).info.color
    assert (color.matrix, color.primaries, color.transfer) == (UNSPECIFIED,) * 3
    assert color.full_range is not True


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_and_sample_aspect(rotation: int, suffix: str, tmp_path: Path) -> None:
    """Kept as tags: the samples stay as they lie."""
    aspect = Fraction(4, 3)
    source = write_clip(
        tmp_path / "a.mp4", encoder="libx264", rotation=rotation, sample_aspect_ratio=aspect, frames=2
    )
    trip = round_trip(source, suffix=suffix)
    assert (trip.info.rotation, trip.info.sample_aspect_ratio) == (rotation, aspect)
    with VideoReader(trip.back) as reader:
        info = reader.info
    assert (info.width, info.height) == (64, 48)
    assert (info.rotation, info.sample_aspect_ratio) == (rotation, aspect)


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_interlaced_is_carried_and_told(order: str, tmp_path: Path) -> None:
    """With the order of its fields, in the maevid file and in what it decompresses to."""
    source = write_scene(tmp_path / "a.mkv", encoder="libx264", options={"x264-params": f"{order}=1"})
    with VideoReader(source) as reader:
        before = reader.info
    assert (before.interlaced, before.field_order) == (True, 2 if order == "tff" else 3)
    trip = round_trip(source)
    assert trip.notes == ["the video is interlaced; both fields are coded as one frame"]
    assert (trip.info.interlaced, trip.info.field_order) == (True, before.field_order)
    with VideoReader(trip.back) as reader:
        assert (reader.info.interlaced, reader.info.field_order) == (True, before.field_order)
    assert trip.psnr() > 33


def test_p010_from_a_decoder(tmp_path: Path) -> None:
    """No container holds it raw as FFmpeg reads it: pictures in memory, as a hardware decoder gives them."""
    source = scene(64, 48, 1, "p010le")
    planes, _ = PixelConverter().convert(source, ColorTags())
    frame = Frame(*planes, pts=0, time_base=Fraction(1, 25))
    with maevid.Writer(tmp_path / "a.mkv", fps=25, quality=80, device="cpu") as writer:
        writer.write(frame.planes)
    with maevid.open(tmp_path / "a.mkv", device="cpu") as video:
        error = np.square(video[0].astype(float) - as_rgb(source)).mean()
    assert 10 * np.log10(255**2 / error) > 33


def test_rgb_goes_in_as_the_matrix_that_it_is_tagged_with(tmp_path: Path) -> None:
    """From 720 rows on BT.709, below BT.601; a player sees the same colours either way."""
    small: Trip = round_trip(write_scene(tmp_path / "a.mkv", pixel_format="bgr0"))
    assert small.info.color.matrix in (5, 6)
    (tmp_path / "large").mkdir()
    large = round_trip(
        write_scene(tmp_path / "large" / "a.mkv", pixel_format="bgr0", width=32, height=720, frames=1)
    )
    assert large.info.color.matrix == 1
    assert min(small.psnr(), large.psnr()) > 33
