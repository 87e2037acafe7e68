"""The post filter: the same bytes from both forms of it, nothing where nothing changes, less error on real video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import WEIGHTS, MaeCodec
from maevid.errors import ModelError
from maevid.model import fused
from maevid.model.checkpoint import Checkpoint
from maevid.model.guide import MOST, RADII, UNIT, departures, guiding, window
from maevid.model.network import Network
from maevid.model.post_filter import (
    ACTIVITIES,
    FEATURES,
    GUIDE,
    MARGIN,
    NODES,
    OLDER_PHASES,
    SHAPES,
    PostFilter,
    around,
    cell_sums,
    classes,
    node_of,
    padded,
)
from maevid.video.frame import Frame, Plane

Arrays = dict[str, npt.NDArray[np.generic]]


def made_up(seed: int = 0, *, guided: bool = True) -> Arrays:
    random = np.random.default_rng(seed)
    arrays: Arrays = {}
    if guided:
        arrays[GUIDE] = random.integers(1, 90_000, (NODES, len(RADII))).astype(np.int32)
    for name in ("luma", "chroma"):
        # As models before the guide have it.
        shapes = SHAPES * (OLDER_PHASES if name == "luma" and not guided else 1)
        size = (NODES, shapes, FEATURES + (len(RADII) if guided and name == "chroma" else 0))
        arrays[f"filter.{name}"] = random.integers(-90, 180, size).astype(np.int16)
        limits = np.sort(random.integers(1, 20_000, (NODES, ACTIVITIES - 1)), axis=1)
        arrays[f"limit.{name}"] = limits.astype(np.int32)
        arrays[f"cut.{name}"] = random.integers(1, 40, (NODES, 2)).astype(np.int32)
    return arrays


def picture(height: int, width: int, seed: int) -> tuple[Plane, Plane, Plane]:
    """Ramps, edges and noise, different in each plane."""
    random = np.random.default_rng(seed)

    def plane(rows: int, columns: int) -> Plane:
        row, column = np.ogrid[:rows, :columns]
        ramp = 128 + 60 * np.sin(row / 7 + seed) + 50 * np.sign(np.sin(column / 5 - row / 9))
        levels: Plane = (ramp + random.normal(0, 9, (rows, columns))).clip(0, 255).astype(np.uint8)
        return levels

    half = (height + 1) // 2, (width + 1) // 2
    return plane(height, width), plane(*half), plane(*half)


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 9), (33, 47), (64, 48), (181, 322)])
def test_compiled_and_interpreted_give_the_same_bytes(
    size: tuple[int, int], guided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused.available():
        pytest.skip("Numba does not work here, so nothing is compiled")
    quick = PostFilter(made_up(guided=guided))
    monkeypatch.setattr(fused, "available", lambda: False)
    plain = PostFilter(made_up(guided=guided))
    source = picture(*size, seed=1)
    for rate_index in (0, 100, 255):
        found, expected = quick(source, rate_index), plain(source, rate_index)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    if min(size) > 2:
        assert any((one != other).any() for one, other in zip(found, source, strict=True))


def test_threads_change_nothing() -> None:
    source, post_filter = picture(180, 320, seed=2), PostFilter(made_up())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = post_filter(source, 70)
        torch.set_num_threads(3)
        found = post_filter(source, 70)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_flat_plane_and_a_filter_of_zeros_change_nothing() -> None:
    flat = np.full((30, 40), 77, np.uint8)
    np.testing.assert_array_equal(PostFilter(made_up())((flat, flat, flat), 9)[0], flat)
    zeros = {name: array * (0 if "filter" in name else 1) for name, array in made_up().items()}
    source = picture(30, 40, seed=5)
    for one, other in zip(PostFilter(zeros)(source, 200), source, strict=True):
        np.testing.assert_array_equal(one, other)


def test_chroma_follows_lumas_edge() -> None:
    luma = np.full((48, 64), 60, np.uint8)
    luma[:, 33:] = 180
    guide = guiding(luma)
    assert guide.shape == (24, 32)
    assert set(guide[:, 16]) == {120}
    assert guiding(luma[:47, :63]).shape == (24, 32)
    # What a coarse quantiser leaves of an edge: a ramp.
    chroma = np.interp(np.arange(32), (13, 20), (100, 140)).round().astype(np.uint8)[None].repeat(24, 0)
    ridges = np.array([window(radius) ** 2 * 20 for radius in RADII], np.int32)
    features = list(departures(padded(chroma), padded(guide), ridges, MARGIN))
    fits = [chroma[12] + feature[12] / UNIT for feature in features]
    # The wide window's line has most of luma's step in one place, where the ramp has a seventh of its own.
    steps = [np.diff(line).max() for line in (chroma[12].astype(float), *fits)]
    assert steps[2] > 2 * steps[0]
    assert np.abs(features[0]).max() < MOST
    flat = np.full_like(guide, 90)
    for radius, feature in zip(RADII, departures(padded(chroma), padded(flat), ridges, MARGIN), strict=True):
        middle = slice(radius, 32 - radius)
        means = np.convolve(chroma[12], np.ones(2 * radius + 1) / (2 * radius + 1), "valid")
        np.testing.assert_allclose(feature[12, middle] / UNIT, means - chroma[12, middle], atol=0.5 / UNIT)


def test_every_class_exists_and_none_beyond() -> None:
    row, column = np.ogrid[:256, :256]
    # Rings: edges in every direction, from wide ones to narrow ones.
    rings = 128 + 100 * np.cos(((row - 128) ** 2 + (column - 128) ** 2) / 200)
    samples = padded(np.where(row > 240, 128, rings).astype(np.uint8))
    limits = np.arange(1, ACTIVITIES).astype(np.int32) * 300
    found = classes(cell_sums(samples), limits, 4)
    assert found.min() >= 0
    assert found.max() < 4 * SHAPES
    assert set(np.unique(found % 9)) == set(range(9))
    assert np.stack(list(around(samples, np.array([2, 9], np.int32)))).shape == (FEATURES, 256, 256)
    assert [node_of(index) for index in (0, 15, 16, 255)] == [0, 0, 1, 15]


def test_a_damaged_model_file_is_told(hall_frames: list[Frame]) -> None:
    arrays = made_up()
    for name in arrays:
        # Without a guide it is chroma's coefficients that are too many.
        with pytest.raises(ModelError, match="filter.chroma" if name == GUIDE else name):
            PostFilter({k: v for k, v in arrays.items() if k != name})
        with pytest.raises(ModelError, match=name):
            PostFilter(arrays | {name: arrays[name][:-1]})
    for name, spoiled in (
        (GUIDE, 0 * arrays[GUIDE]),
        ("limit.luma", arrays["limit.luma"][:, ::-1]),
        ("cut.chroma", 0 * arrays["cut.chroma"]),
    ):
        with pytest.raises(ModelError, match=name):
            PostFilter(arrays | {name: spoiled})
    whole = Checkpoint.load(WEIGHTS / "mae-fast.safetensors")
    rest = {k: v for k, v in whole.arrays.items() if not k.startswith("post.")}
    with pytest.raises(ModelError, match=r"filter\.luma is missing"):
        Checkpoint(replace(whole.config, post_filter=True), rest, whole.notes)


@pytest.mark.parametrize("name", ["mae", "mae-fast"])
def test_the_shipped_filters_lower_the_error_of_real_video(name: str, hall_frames: list[Frame]) -> None:
    whole = Checkpoint.load(WEIGHTS / f"{name}.safetensors")
    assert whole.post_filter is not None
    rest = {k: v for k, v in whole.arrays.items() if not k.startswith("post.")}
    bare = Checkpoint(replace(whole.config, post_filter=False), rest, whole.notes)
    codecs = [MaeCodec(checkpoint, CodecOptions(device="cpu")) for checkpoint in (whole, bare)]
    assert codecs[0].sha256 != codecs[1].sha256
    for rate_index in (60, 120, 180):
        errors = []
        for codec in codecs:
            picture_out = codec.encode(hall_frames[0], rate_index, reconstruct=True).reconstruction
            assert picture_out is not None
            errors.append(float(((picture_out[0].astype(float) - hall_frames[0].y) ** 2).mean()))
        assert errors[0] < errors[1]


def test_what_the_encoder_shows_is_what_the_decoder_gives(mae: MaeCodec, hall_frames: list[Frame]) -> None:
    assert isinstance(mae.network, Network)
    encoded = mae.encode(hall_frames[0], 90, reconstruct=True)
    assert encoded.reconstruction is not None
    for shown, given in zip(encoded.reconstruction, mae.decode(encoded.packet), strict=True):
        np.testing.assert_array_equal(shown, given)
