"""Filters fitted to a picture: what the encoder shows is what packets give, on any machine and of any size."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import WEIGHTS, MaeCodec, open_mae_fast
from maevid.errors import DamagedError, MaevidError
from maevid.model import fused
from maevid.model.adjustment import (
    FORMS,
    LARGEST_SYMBOL,
    LIGHT,
    NONE,
    adjustment,
    forms_of,
    part_of,
    table_indexes,
)
from maevid.model.checkpoint import Checkpoint
from maevid.model.post_filter import FEATURES, LARGEST, Adjustment, PostFilter
from maevid.stream.packet import Packet
from maevid.video.frame import Frame, Plane


@pytest.fixture(scope="module")
def codec() -> MaeCodec:
    opened = open_mae_fast(CodecOptions(device="cpu", effort=1))
    assert isinstance(opened, MaeCodec)
    return opened


@pytest.fixture(scope="module")
def plain() -> MaeCodec:
    opened = open_mae_fast(CodecOptions(device="cpu"))
    assert isinstance(opened, MaeCodec)
    return opened


@pytest.fixture(scope="module")
def post_filter() -> PostFilter:
    found = Checkpoint.load(WEIGHTS / "mae-fast.safetensors").post_filter
    assert found is not None
    return found


def cut(frame: Frame, height: int, width: int) -> Frame:
    """Its upper left corner."""
    chroma = (height + 1) // 2, (width + 1) // 2
    sizes = (height, width), chroma, chroma
    y, u, v = (
        np.ascontiguousarray(p[:rows, :columns])
        for p, (rows, columns) in zip(frame.planes, sizes, strict=True)
    )
    return Frame(y, u, v, 0, Fraction(1, 10), 1)


def tinted(frame: Frame) -> Frame:
    """A picture whose chroma has a texture that models smooth away: worth an adjustment at any size."""
    random = np.random.default_rng(3)
    grain = [random.integers(-1, 2, p.shape) * random.integers(0, 60, p.shape) // 8 for p in frame.planes]
    y, u, v = ((p + g).clip(0, 255).astype(np.uint8) for p, g in zip(frame.planes, grain, strict=True))
    return Frame(y, u, v, 0, Fraction(1, 10), 1)


@pytest.fixture(scope="module")
def adjusted(codec: MaeCodec, hall_frames: list[Frame]) -> Packet:
    packet = codec.encode(hall_frames[0], 130).packet
    assert len(packet.parts) == 2
    return packet


def loss(frame: Frame, planes: tuple[Plane, ...], size: int, codec: MaeCodec, rate_index: int) -> float:
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(frame.planes, planes, strict=True)]
    distortion = np.average(errors, weights=codec.network.config.plane_weights)
    return float(8 * size / frame.y.size + codec.lam(rate_index) * distortion)


@pytest.mark.parametrize("size", [None, (133, 171), (64, 50), (16, 16), (7, 5), (1, 1)])
@pytest.mark.parametrize("rate_index", [30, 130, 230])
def test_the_decoder_gives_what_the_encoder_shows(
    codec: MaeCodec, plain: MaeCodec, hall_frames: list[Frame], size: tuple[int, int] | None, rate_index: int
) -> None:
    frame = tinted(cut(hall_frames[0], *(size or hall_frames[0].y.shape)))
    encoded = codec.encode(frame, rate_index, reconstruct=True)
    data = encoded.packet.to_bytes()
    assert sum(encoded.parts.values()) == 8 * len(data)
    assert ("filter" in encoded.parts) == (len(encoded.packet.parts) == 2)
    plain.check(Packet.from_bytes(data))
    # A decoder does not know of effort.
    for got, expected in zip(plain.decode(Packet.from_bytes(data)), encoded.reconstruction, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_what_is_sent_pays(
    codec: MaeCodec, hall_frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, sent = hall_frames[0], 0
    for rate_index in (40, 130, 200):
        losses = []
        for adjuster in (codec._adjuster, None):
            with monkeypatch.context() as patch:
                patch.setattr(codec, "_adjuster", adjuster)
                packet = codec.encode(frame, rate_index).packet
            sent += len(packet.parts) - 1
            size = len(packet.to_bytes())
            losses.append(loss(frame, codec.decode(packet), size, codec, rate_index))
        # A packet is a whole number of bytes, and its string one of words.
        assert losses[0] <= losses[1] + 16 / frame.y.size
    assert sent


def test_bits_of_blocks_leave_the_filter_out(
    codec: MaeCodec, adjusted: Packet, hall_frames: list[Frame]
) -> None:
    parts = codec.encode(hall_frames[0], 130).parts
    assert 0 < parts["filter"] < 8 * 200
    assert codec.block_bits(adjusted).sum() == pytest.approx(parts["hyper"] + parts["latent"], rel=0.02)
    assert codec.latent_levels(adjusted).shape == codec.network.latent_size(adjusted.height, adjusted.width)


def test_without_a_second_part_nothing_changes(
    codec: MaeCodec, plain: MaeCodec, hall_frames: list[Frame]
) -> None:
    packet = plain.encode(hall_frames[0], 130).packet
    assert len(packet.parts) == 1
    for got, expected in zip(codec.decode(packet), plain.decode(packet), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_damage_is_told(codec: MaeCodec, plain: MaeCodec, adjusted: Packet) -> None:
    string, part = adjusted.parts
    sent = [form for form in forms_of(part) if form]
    for value in range(256):
        damaged = replace(adjusted, parts=(string, bytes([value])))
        if 0 < value < len(FORMS) ** 3 and [form for form in forms_of(bytes([value])) if form] == sent:
            # The same symbols for another plane: only the packet's CRC tells.
            with contextlib.suppress(DamagedError):
                plain.decode(damaged)
        else:
            with pytest.raises(DamagedError):
                plain.check(damaged)
    for parts in ((string,), (string, b""), (string, part + part), (string, part, b"")):
        with pytest.raises(DamagedError):
            plain.check(replace(adjusted, parts=parts))
    for at in range(0, len(string), 5):
        spoiled = bytearray(string)
        spoiled[at] ^= 1 << at % 8
        with pytest.raises(DamagedError):
            plain.check(replace(adjusted, parts=(bytes(spoiled), part)))


def test_a_model_without_a_filter_sends_and_takes_nothing(adjusted: Packet, hall_frames: list[Frame]) -> None:
    whole = Checkpoint.load(WEIGHTS / "mae-fast.safetensors")
    rest = {k: v for k, v in whole.arrays.items() if not k.startswith("post.")}
    bare = MaeCodec(
        Checkpoint(replace(whole.config, post_filter=False), rest, whole.notes),
        CodecOptions(device="cpu", effort=1),
    )
    packet = bare.encode(hall_frames[0], 130).packet
    assert len(packet.parts) == 1
    with pytest.raises(DamagedError, match="one part"):
        bare.decode(replace(packet, parts=(*packet.parts, adjusted.parts[1])))


def test_forms_are_named_by_one_byte() -> None:
    count = len(FORMS)
    found = [forms_of(bytes([value])) for value in range(1, count**3)]
    assert len(set(found)) == count**3 - 1
    assert all(part_of(forms) == bytes([value]) for value, forms in enumerate(found, 1))
    for damaged in (b"", b"\0", bytes([count**3]), b"\1\1"):
        with pytest.raises(DamagedError):
            forms_of(damaged)


def test_symbols_beyond_the_limit_are_refused() -> None:
    assert adjustment(NONE, np.empty(0, np.int32), FEATURES) is None
    for form in range(LIGHT, len(FORMS)):
        symbols = np.full(len(table_indexes(form, FEATURES)), -LARGEST_SYMBOL, np.int32)
        found = adjustment(form, symbols, FEATURES)
        assert found is not None
        assert abs(found.offset) < 2**15
        assert found.coefficients.shape == (FEATURES,)
        for beyond in (LARGEST_SYMBOL + 1, -LARGEST_SYMBOL - 1, -(2**31)):
            symbols[-1] = beyond
            with pytest.raises(MaevidError):
                adjustment(form, symbols, FEATURES)


@pytest.mark.parametrize("gain", [-127, 0, 3, 127])
def test_compiled_and_interpreted_filter_alike(
    post_filter: PostFilter, hall_frames: list[Frame], gain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused.available():
        pytest.skip("Numba does not work here, so nothing is compiled")
    monkeypatch.setattr(fused, "available", lambda: False)
    interpreted = PostFilter(post_filter.arrays())
    random = np.random.default_rng(gain + 200)
    changes = [
        Adjustment(
            gain, int(random.integers(-16000, 16000)), random.integers(-8128, 8129, n).astype(np.int32)
        )
        for n in post_filter.counts
    ]
    source = cut(hall_frames[0], 71, 93).planes
    adjustments = (changes[0], changes[1], None)
    once = post_filter(source, 100, adjustments)
    for found, expected in zip(once, interpreted(source, 100, adjustments), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (once[0] != post_filter(source, 100)[0]).any()
    np.testing.assert_array_equal(once[2], post_filter(source, 100)[2])


def test_coefficients_stay_within_16_bits() -> None:
    filters = np.array([[LARGEST, -LARGEST - 1, 100, -100]], np.int16)
    most = Adjustment(127, 0, np.array([8128, -8128, 0, 4], np.int32))
    assert most.changed(filters).tolist() == [[LARGEST, -LARGEST, 1688, -1683]]


def test_threads_do_not_change_what_is_fitted(codec: MaeCodec, hall_frames: list[Frame]) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append([one.packet for one in codec.encode_batch(hall_frames[:2], [60, 150])])
    finally:
        torch.set_num_threads(before)
    assert any(len(packet.parts) == 2 for packet in found[0])
    assert found.count(found[0]) == len(found)
