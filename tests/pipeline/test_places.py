"""Where a journal has which frame: the same answers as a dict gives, in far less memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from maevid.pipeline.places import Places

WHOLE = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(st.one_of(st.integers(0, 5), WHOLE), st.integers(0, 3), WHOLE)))
def test_the_last_record_of_a_frame_at_a_rate_is_found(
    records: list[tuple[int, int, int]],
) -> None:
    places, known = Places(), {}
    for at, (pts, rate_index, check) in enumerate(records):
        places.add(pts, rate_index, at, check)
        known[pts, rate_index] = at, check
    asked = {*known, *((pts, index) for pts, _, _ in records for index in range(4)), (-1, 0), (2**63 - 1, 0)}
    for pts, rate_index in asked:
        assert places.find(pts, rate_index) == known.get((pts, rate_index))


def test_an_hour_of_frames_takes_a_few_megabytes() -> None:
    tracemalloc.start()
    try:
        places = Places()
        for n in range(90_000):
            places.add(3600 * n, 100 + n % 7, 30_000 * n, n * 7919 % 2**32)
        assert places.find(3600 * 45_000, 100 + 45_000 % 7) == (30_000 * 45_000, 45_000 * 7919 % 2**32)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4_000_000
    assert most < 16_000_000
