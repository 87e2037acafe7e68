"""The entropy coder: every int32 survives, strings cost what tables promise, both implementations agree."""

from __future__ import annotations

import importlib.util
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from entropy_cases import BOTH, INTERPRETED, SCALES, decode_by_the_book, gaussian_case
from hypothesis import given, settings
from hypothesis import strategies as st

from maevid.codec.entropy import (
    OVERHEAD_BYTES,
    Decoder,
    FrequencyTables,
    encode,
    gaussian_tables,
    tables_from_probabilities,
)
from maevid.errors import DamagedError

INT32 = st.integers(-(2**31), 2**31 - 1)


@st.composite
def any_case(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, FrequencyTables]:
    """Random tables (skewed to flat, narrow to the widest), symbols inside, near and far outside of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, minima = [], []
    widest = draw(st.sampled_from([1, 17, 300, 300, 300, 5000, 65535]))
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([1, 2, 3, widest]))
        rows.append(rng.dirichlet(np.full(size + 1, draw(st.sampled_from([0.01, 0.3, 100.0])))))
        minima.append(draw(st.integers(-(2**31), 2**31 - 65536) | st.integers(-300, 0)))
    tables = tables_from_probabilities(rows, minima)
    count = draw(st.integers(0, 3) | st.integers(4, 400))
    indexes = rng.integers(0, len(rows), count).astype(np.int16)
    inside = tables.minimum[indexes] + (rng.random(count) * tables.size[indexes]).astype(np.int64)
    reach = 10 ** rng.uniform(0, 9.3, count) * rng.choice([-1, 1], count)
    escape = rng.random(count) < draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    limits = np.iinfo(np.int32)
    symbols = np.clip(inside + np.where(escape, reach.astype(np.int64), 0), limits.min, limits.max)
    return symbols.astype(np.int32), indexes, tables


@given(any_case())
@settings(max_examples=80, deadline=None)
def test_round_trip_cost_and_agreement(case: tuple[np.ndarray, np.ndarray, FrequencyTables]) -> None:
    symbols, indexes, tables = case
    data = encode(symbols, indexes, tables)
    assert data == encode(symbols, indexes, tables, kernels=INTERPRETED)
    for kernels in (None, INTERPRETED):
        decoder = Decoder(data, tables, kernels=kernels)
        decoded = decoder.decode(indexes)
        decoder.finish()
        assert decoded.dtype == np.int32
        assert np.array_equal(decoded, symbols)
    excess = len(data) - tables.cost_bits(symbols, indexes) / 8
    assert -0.01 < excess < 5.01
    assert len(data) == 0 or len(symbols) > 0


@given(st.lists(INT32, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_any_int32_survives_any_table(symbols: list[int], data: st.DataObject) -> None:
    tables = gaussian_tables([0.2, 1, 20])
    indexes = np.array([data.draw(st.integers(0, 2)) for _ in symbols], dtype=np.int64)
    coded = encode(np.array(symbols, dtype=np.int32), indexes, tables)
    assert decode_by_the_book(coded, indexes, tables) == symbols
    assert Decoder(coded, tables).decode(indexes).tolist() == symbols


@pytest.mark.parametrize("make_kernels", BOTH)
def test_frame_reads_back(make_kernels) -> None:  # type: ignore[no-untyped-def]
    symbols, indexes, tables = gaussian_case(20_000)
    data = encode(symbols, indexes, tables, kernels=make_kernels())
    decoder = Decoder(data, tables, kernels=make_kernels())
    assert np.array_equal(decoder.decode(indexes), symbols)
    decoder.finish()
    assert decode_by_the_book(data, indexes, tables) == symbols.tolist()


def test_what_is_compiled_is_right_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops' own Python, which Numba compiles: the same strings, and each of their branches seen by coverage."""
    compiled = pytest.importorskip("maevid.codec.entropy.compiled")
    symbols, indexes, tables = gaussian_case(3000)
    symbols[::50] += 70_000
    strings = [encode(symbols, indexes, tables)]
    for name in ("_encode_jit", "_decode_jit"):
        monkeypatch.setattr(compiled, name, getattr(compiled, name).py_func)
    strings.append(encode(symbols, indexes, tables))
    assert strings[0] == strings[1]
    decoder = Decoder(strings[1], tables)
    assert np.array_equal(decoder.decode(indexes), symbols)
    decoder.finish()
    with pytest.raises(DamagedError, match="ends too early"):
        Decoder(strings[1][:40], tables).decode(indexes)


def test_string_is_as_short_as_the_model_says() -> None:
    """A 720p frame at 0.5 bpp: within 0.05 % and 20 bytes of the Gaussian's own entropy, not the tables'."""
    symbols, indexes, tables = gaussian_case(330_000)
    data = encode(symbols, indexes, tables)
    assert 0.45 < 8 * len(data) / (1280 * 720) < 0.6
    erfc = np.vectorize(math.erfc)
    scaled = SCALES[indexes] * math.sqrt(2)
    # The probability of a bin as a difference of two small tails, which loses no digits.
    near, far = (np.abs(symbols) - 0.5) / scaled, (np.abs(symbols) + 0.5) / scaled
    ideal = -np.log2((erfc(near) - erfc(far)) / 2).sum() / 8
    assert len(data) - ideal < 20
    assert len(data) / ideal - 1 < 0.0005


def test_small_strings_cost_what_is_stated() -> None:
    excess = []
    for seed in range(300):
        symbols, indexes, tables = gaussian_case(1 + seed, seed)
        excess.append(len(encode(symbols, indexes, tables)) - tables.cost_bits(symbols, indexes) / 8)
    assert abs(np.mean(excess) - OVERHEAD_BYTES) < 0.2
    assert max(excess) <= 5


@pytest.mark.parametrize("make_kernels", BOTH)
def test_decoding_in_steps_needs_later_tables_only_later(make_kernels) -> None:  # type: ignore[no-untyped-def]
    """As the checkerboard prior does: what comes first decides under which tables the rest stands."""
    hyper, latent = gaussian_tables([3.0]), gaussian_tables(SCALES)
    tables = FrequencyTables.joined(hyper, latent)
    rng = np.random.default_rng(3)
    first = np.round(rng.normal(size=500) * 3).astype(np.int32)
    second_tables = 1 + np.repeat(np.abs(first) % 64, 7)
    second = np.round(rng.normal(size=3500) * SCALES[second_tables - 1]).astype(np.int32)
    second[::100] = rng.integers(-(2**31), 2**31, 35)
    third_tables = 1 + np.abs(second) % 64
    third = np.round(rng.normal(size=3500) * SCALES[third_tables - 1]).astype(np.int32)
    data = encode(
        np.concatenate([first, second, third]),
        np.concatenate([np.zeros(500, np.int64), second_tables, third_tables]),
        tables,
        kernels=make_kernels(),
    )
    decoder = Decoder(data, tables, kernels=make_kernels())
    a = decoder.decode(np.zeros(500, dtype=np.uint8))
    with pytest.raises(DamagedError):
        decoder.finish()
    b = decoder.decode(1 + np.repeat(np.abs(a) % 64, 7))
    assert len(decoder.decode(np.zeros(0, dtype=np.uint8))) == 0
    c = decoder.decode(1 + np.abs(b.astype(np.int64)) % 64)
    decoder.finish()
    assert np.array_equal(a, first)
    assert np.array_equal(b, second)
    assert np.array_equal(c, third)


def test_every_division_into_steps_gives_the_same_symbols() -> None:
    symbols, indexes, tables = gaussian_case(60)
    symbols[::7] = -(2**31)
    data = encode(symbols, indexes, tables)
    for step in range(1, 60):
        decoder = Decoder(data, tables)
        parts = [decoder.decode(indexes[at : at + step]) for at in range(0, 60, step)]
        decoder.finish()
        assert np.array_equal(np.concatenate(parts), symbols)


def test_no_symbols_are_no_bytes() -> None:
    tables = gaussian_tables([1.0])
    nothing = np.zeros(0, dtype=np.int32)
    assert encode(nothing, nothing, tables) == b""
    decoder = Decoder(b"", tables)
    decoder.finish()
    assert len(decoder.decode(nothing)) == 0
    decoder.finish()


def test_threads_code_side_by_side() -> None:
    cases = [gaussian_case(30_000, seed) for seed in range(8)]

    def round_trip(case: tuple[np.ndarray, np.ndarray, FrequencyTables]) -> bytes:
        symbols, indexes, tables = case
        data = encode(symbols, indexes, tables)
        decoder = Decoder(data, tables)
        assert np.array_equal(decoder.decode(indexes), symbols)
        decoder.finish()
        return data

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(round_trip, cases)) == [round_trip(case) for case in cases]


@pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="Numba is not installed")
def test_coding_does_not_hold_up_other_threads() -> None:
    symbols, indexes, tables = gaussian_case(100_000)
    symbols, indexes = np.tile(symbols, 50), np.tile(indexes, 50)
    data = encode(symbols, indexes, tables)
    decoder = Decoder(data, tables)
    with ThreadPoolExecutor(1) as pool:
        began = time.perf_counter()
        running = pool.submit(decoder.decode, indexes)
        longest, last = 0.0, began
        while not running.done():
            time.sleep(0.0005)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        took = last - began
    assert np.array_equal(running.result(), symbols)
    # With the interpreter's lock held, this thread would have waited for all of it.
    assert longest < 0.6 * took


def test_any_integer_type_and_layout_of_indexes() -> None:
    symbols, indexes, tables = gaussian_case(1000)
    data = encode(symbols, indexes, tables)
    for kind in (np.uint8, np.int16, np.int32, np.int64, np.uint64):
        assert encode(symbols, indexes.astype(kind), tables) == data
        assert np.array_equal(Decoder(data, tables).decode(indexes.astype(kind)), symbols)
    apart = np.repeat(symbols, 2)[::2]
    frozen = indexes.copy()
    frozen.setflags(write=False)
    assert encode(apart, frozen, tables) == data
    swapped = symbols.astype(">i4")
    assert encode(swapped, indexes.astype(">i2"), tables) == data
    assert encode(np.zeros(4, np.int8), np.zeros(4, np.uint8), tables) == encode(
        np.zeros(4, np.int32), np.zeros(4, np.uint8), tables
    )


@pytest.mark.parametrize(
    ("symbols", "indexes", "complaint"),
    [
        (np.zeros(3, np.int32), np.zeros(2, np.uint8), "one length"),
        (np.zeros((2, 2), np.int32), np.zeros((2, 2), np.uint8), "one length"),
        (np.zeros(3, np.int64), np.zeros(3, np.uint8), "int32, not int64"),
        (np.zeros(3, np.float32), np.zeros(3, np.uint8), "int32, not float32"),
        (np.zeros(3, np.int32), np.zeros(3), "integers, not float64"),
        (np.zeros(3, np.int32), np.array([0, 1, 2]), r"lie in 0\.\.1"),
        (np.zeros(3, np.int32), np.array([0, -1, 1]), r"lie in 0\.\.1"),
        (np.zeros(1, np.int32), np.array([65536]), r"lie in 0\.\.1"),
    ],
)
def test_wrong_calls_are_refused(symbols: np.ndarray, indexes: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encode(symbols, indexes, gaussian_tables([1.0, 2.0]))


def test_decoder_refuses_wrong_indexes() -> None:
    tables = gaussian_tables([1.0])
    decoder = Decoder(encode(np.zeros(3, np.int32), np.zeros(3, np.uint8), tables), tables)
    for wrong in (np.zeros(3), np.zeros((3, 1), np.uint8), np.array([0, 1, 0]), np.array([0, -1, 0])):
        with pytest.raises(ValueError, match="table indexes must"):
            decoder.decode(wrong)
    assert decoder.decode(np.zeros(3, np.uint8)).tolist() == [0, 0, 0]
    decoder.finish()
