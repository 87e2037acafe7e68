"""Damaged strings: a clean DamagedError or wrong symbols, alike from both implementations, never a hang."""

from __future__ import annotations

import time

import numpy as np
import pytest
from entropy_cases import BOTH, INTERPRETED, gaussian_case

from maevid.codec.entropy import Decoder, FrequencyTables, encode, gaussian_tables
from maevid.codec.entropy.kernels import Kernels
from maevid.errors import DamagedError


def attempt(
    data: bytes, indexes: np.ndarray, tables: FrequencyTables, kernels: Kernels | None = None
) -> list[int] | str:
    """The symbols when the whole string is accepted, else at which step it was refused."""
    half = len(indexes) // 2
    step = "start"
    try:
        decoder = Decoder(data, tables, kernels=kernels)
        step = "first"
        symbols = decoder.decode(indexes[:half]).tolist()
        step = "second"
        symbols += decoder.decode(indexes[half:]).tolist()
        step = "finish"
        decoder.finish()
    except DamagedError:
        return step
    return symbols


def check(data: bytes, indexes: np.ndarray, tables: FrequencyTables, *, both: bool = True) -> bool:
    """True when refused. Whatever is accepted must be exactly what its symbols encode to."""
    result = attempt(data, indexes, tables)
    if both:
        assert result == attempt(data, indexes, tables, INTERPRETED)
    if isinstance(result, str):
        return True
    assert encode(np.array(result, dtype=np.int32), indexes, tables) == data
    return False


def small_case() -> tuple[bytes, np.ndarray, FrequencyTables]:
    symbols, indexes, tables = gaussian_case(160, 7)
    symbols[[0, 50, 51, 120, 159]] = [9000, -9000, 2**31 - 1, -(2**31), 77]
    return encode(symbols, indexes, tables), indexes, tables


def test_every_bit_flip() -> None:
    data, indexes, tables = small_case()
    assert 40 < len(data) < 120
    refused = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refused += check(bytes(flipped), indexes, tables)
    # The bits of an escaped value have no check of their own; that is what the packet's CRC is for.
    assert refused > 0.75 * 8 * len(data)


def test_every_truncation_is_refused() -> None:
    symbols, indexes, tables = gaussian_case(160, 7)
    data = encode(symbols, indexes, tables)
    for end in range(len(data)):
        assert check(data[:end], indexes, tables)
        assert check(data[end + 1 :], indexes, tables)


def test_truncation_of_an_escaped_value_is_clean() -> None:
    """The last bytes hold the first escaped value: a cut there changes it, which only the CRC can tell."""
    data, indexes, tables = small_case()
    whole = attempt(data, indexes, tables)
    accepted = [end for end in range(len(data)) if not check(data[:end], indexes, tables)]
    assert all(len(data) - end < 5 for end in accepted)
    for end in accepted:
        assert attempt(data[:end], indexes, tables)[1:] == whole[1:]
    assert all(check(data[end:], indexes, tables) for end in range(1, len(data)))


def test_anything_appended_is_refused() -> None:
    symbols, indexes, tables = gaussian_case(160, 7)
    data = encode(symbols, indexes, tables)
    for extra in (b"\0", b"\0\0", b"\xff", b"\x80\x80", bytes(100)):
        assert check(data + extra, indexes, tables)
    tables = gaussian_tables([1.0])
    none = np.zeros(0, np.uint8)
    for extra in (b"\0", (1 << 24).to_bytes(5, "little"), bytes(6)):
        assert check(extra, none, tables)


def test_wrong_number_of_symbols_or_wrong_tables_are_refused() -> None:
    symbols, indexes, tables = gaussian_case(2000)
    data = encode(symbols, indexes, tables)
    assert check(data, indexes[:-1], tables)
    assert check(data, np.append(indexes, indexes[:1]), tables)
    other = indexes.copy()
    other[1000] ^= 8
    assert check(data, other, tables)


def test_five_thousand_mutations() -> None:
    data, indexes, tables = small_case()
    rng = np.random.default_rng(2024)
    refused = 0
    for round_ in range(5000):
        mutated = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at, other = sorted(rng.integers(0, len(mutated) + 1, 2).tolist())
            match rng.integers(0, 6):
                case 0:
                    mutated[at:other] = rng.bytes(other - at)
                case 1:
                    del mutated[at:other]
                case 2:
                    mutated[at:at] = rng.bytes(int(rng.integers(1, 9)))
                case 3:
                    mutated[at:other] = bytes([rng.choice([0, 0x7F, 0x80, 0xFF])]) * (other - at)
                case 4:
                    mutated[at:at] = mutated[at:other]
                case 5:
                    mutated[at:other] = mutated[at:other][::-1]
        refused += check(bytes(mutated), indexes, tables, both=round_ % 5 == 0)
    assert refused > 4000


def test_random_bytes() -> None:
    _, indexes, tables = small_case()
    rng = np.random.default_rng(99)
    for length in list(range(12)) * 20 + [100, 1000, 100_000]:
        assert check(rng.bytes(length), indexes, tables)


def test_escaped_values_that_no_encoder_writes_are_refused() -> None:
    tables = gaussian_tables([1.0])
    index = np.zeros(1, np.uint8)
    top = int(tables.minimum[0] + tables.size[0])
    good = encode(np.array([top], dtype=np.int32), index, tables)
    assert good[-1] == 0
    body = good[:-1]

    def with_number(number: bytes) -> bytes:
        return body + number[::-1]

    largest = 2 * (2**31 - 1 - top)
    leb = bytes(largest >> 7 * k & 127 | (128 if k < 4 else 0) for k in range(5))
    assert attempt(with_number(leb), index, tables) == "finish" or not check(with_number(leb), index, tables)
    assert encode(np.array([2**31 - 1], dtype=np.int32), index, tables) == with_number(leb)
    beyond = bytes((largest + 2) >> 7 * k & 127 | (128 if k < 4 else 0) for k in range(5))
    for number in (beyond, b"\x80\x00", b"\x80" * 5, b"\x80" * 5 + b"\x01", b"\xff" * 4 + b"\x7f", b"\x81"):
        assert check(with_number(number), index, tables)


def test_state_below_its_range_is_refused() -> None:
    for state in (0, 1, 2**24 - 1):
        with pytest.raises(DamagedError, match="impossible state"):
            Decoder(state.to_bytes(5, "little") + bytes(10), gaussian_tables([1.0]))


@pytest.mark.parametrize("make_kernels", BOTH)
def test_time_depends_on_the_symbols_asked_for_alone(make_kernels) -> None:  # type: ignore[no-untyped-def]
    tables = gaussian_tables([0.2, 5.0])
    kernels = make_kernels()
    rng = np.random.default_rng(1)
    long = rng.bytes(20_000_000)
    began = time.process_time()
    Decoder(long, tables, kernels=kernels).decode(np.zeros(10, np.uint8))
    with pytest.raises(DamagedError, match="ends too early"):
        Decoder(long[:100], tables, kernels=kernels).decode(np.ones(500_000, np.uint8))
    assert time.process_time() - began < 2


def test_nothing_but_escapes_is_still_fast() -> None:
    tables = gaussian_tables([0.2])
    rng = np.random.default_rng(1)
    symbols = rng.integers(-(2**31), 2**31, 300_000).astype(np.int32)
    indexes = np.zeros(300_000, np.uint8)
    began = time.process_time()
    data = encode(symbols, indexes, tables)
    decoder = Decoder(data, tables)
    assert np.array_equal(decoder.decode(indexes), symbols)
    decoder.finish()
    assert time.process_time() - began < 2
