"""Strings written by maevid 0.1 must be read for ever: tables, symbols and bytes lie in tests/golden/entropy.

The files are never written anew. A change that fails here breaks every file made so far: it needs a new
format version, and files of its own next to these.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from entropy_cases import BOTH, decode_by_the_book

from maevid.codec.entropy import Decoder, FrequencyTables, encode

GOLDEN = Path(__file__).parent.parent / "golden" / "entropy"

SHA256 = {
    "gaussian.npz": "8e18e720b5d7597fe29e4bf92c079781ddea1f1ebe3f87b2bd5e0d1ee25901ce",
    "escapes.npz": "0a5592c04c3054487cc69e4ab347df177bcc7815e692e260fca08f053f6ecf1f",
    "steps.npz": "a24a592396ee3f649d95e5d515c5054154b47d26d33ec5e888d624af9850f441",
    "one.npz": "365009983bf232851942994b23845ebee9fdc5b7b78b5e44643f5c37bc0eac74",
    "none.npz": "ef624554e600fc9eba5dc8663d291d8b5a573913f935ffd98cf4b4e950771d75",
}


def test_nothing_was_rewritten() -> None:
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in GOLDEN.iterdir()} == SHA256


@pytest.mark.parametrize("make_kernels", BOTH)
@pytest.mark.parametrize("name", SHA256)
def test_golden_strings_are_read_and_written(name: str, make_kernels) -> None:  # type: ignore[no-untyped-def]
    with np.load(GOLDEN / name) as golden:
        arrays = {key: golden[key] for key in golden.files}
    tables = FrequencyTables.from_arrays(arrays)
    data = arrays["data"].tobytes()
    decoder = Decoder(data, tables, kernels=make_kernels())
    decoded = [decoder.decode(part) for part in np.split(arrays["indexes"], arrays["steps"])]
    decoder.finish()
    assert np.array_equal(np.concatenate(decoded), arrays["symbols"])
    assert encode(arrays["symbols"], arrays["indexes"], tables, kernels=make_kernels()) == data


@pytest.mark.parametrize("name", SHA256)
def test_golden_strings_are_what_the_docstring_says(name: str) -> None:
    with np.load(GOLDEN / name) as golden:
        tables = FrequencyTables.from_arrays(golden)
        decoded = decode_by_the_book(golden["data"].tobytes(), golden["indexes"], tables)
        assert decoded == golden["symbols"].tolist()


@pytest.mark.parametrize("make_kernels", BOTH)
def test_strings_worked_out_by_hand(make_kernels) -> None:  # type: ignore[no-untyped-def]
    """Symbols -1, 0, 1 and escape with frequencies 32768, 16384, 16383, 1."""
    tables = FrequencyTables(
        np.array([0, 32768, 49152, 65535, 65536], dtype=np.int32),
        minimum=np.array([-1], dtype=np.int32),
        size=np.array([3], dtype=np.int32),
    )
    by_hand = {
        # 2²⁴ / 32768 = 512 rest 0: x = 512 · 2¹⁶ + 0 + 0 = 02 00 00 00.
        (-1,): "00 00 00 02 00",
        # 2²⁴ / 16384 = 1024 rest 0: x = 1024 · 2¹⁶ + 0 + 32768 = 04 00 80 00.
        (0,): "00 80 00 04 00",
        # 2²⁴ / 16383 = 1024 rest 1024: x = 1024 · 2¹⁶ + 1024 + 49152 = 04 00 C4 00.
        (1,): "00 c4 00 04 00",
        # x ≥ 2²⁴ · 1: word 0000, x = 256, then x = 256 · 2¹⁶ + 65535. Number 2 · (66 - 2) = 128 = 80 01.
        (66,): "ff ff 00 01 00  00 00  01 80",
        # -2 first, as above but with number 1; then word FFFF, x = 256 again. Numbers 80 01, then 01.
        (66, -2): "ff ff 00 01 00  ff ff 00 00  01 01 80",
    }
    for symbols, expected in by_hand.items():
        indexes = np.zeros(len(symbols), dtype=np.uint8)
        data = encode(np.array(symbols, dtype=np.int32), indexes, tables, kernels=make_kernels())
        assert data == bytes.fromhex(expected)
