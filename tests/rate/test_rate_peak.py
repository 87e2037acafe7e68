"""The leaky bucket, its verifier, and levels that are optimal under it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maevid.rate import BufferModel, Peak, leaky_bucket
from maevid.rate.peak import bucket_levels, peak_levels, solve_level

HIGH = 10.0


def bits_of(scale):
    return lambda level, start, stop: scale[start:stop] * np.exp(0.5 * np.asarray(level))


def test_bucket_starts_full_fills_and_spills():
    bucket = BufferModel(Peak(1000, 500))
    assert bucket.available(3.0) == 500
    assert bucket.take(3.0, 400)
    assert bucket.fullness == pytest.approx(0.2)
    assert bucket.available(3.1) == pytest.approx(200)
    assert bucket.available(9.0) == 500
    assert bucket.available(2.0) == 100
    twin = bucket.copy()
    assert not twin.take(3.1, 201)
    assert twin.fullness == 0
    assert bucket.fullness == pytest.approx(0.2)
    assert bucket.take(3.1, 199)
    assert bucket.fullness == pytest.approx(1 / 500)


def test_verifier_by_hand():
    assert leaky_bucket([], [], 1, 1) == []
    assert leaky_bucket([100], [5.0], 1, 800) == []
    assert leaky_bucket([101], [5.0], 1, 800) == [(0, 8)]
    sizes, times = [50, 50, 60, 10], [0.0, 0.1, 0.2, 0.3]
    assert leaky_bucket(sizes, times, 1000, 1081) == []
    found = leaky_bucket(sizes, times, 1000, 701)
    assert [u.frame for u in found] == [2]
    assert found[0].missing_bits == pytest.approx(379)
    assert [u.frame for u in leaky_bucket(sizes, times, 1000, 450)] == [1, 2]
    with pytest.raises(ValueError):
        leaky_bucket([1], [], 1, 1)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(0.001, 0.3)), min_size=1, max_size=30),
    st.floats(1e3, 2e4),
    st.floats(500, 8000),
)
def test_model_verifier_and_definition_agree(frames, maxrate, bufsize):
    """Definition: no window of frames has more bits than the bucket and what flowed in between."""
    sizes = [s for s, _ in frames]
    times = np.cumsum([g for _, g in frames]).tolist()
    excess = max(
        8 * sum(sizes[a : b + 1]) - maxrate * (times[b] - times[a]) - bufsize
        for a in range(len(sizes))
        for b in range(a, len(sizes))
    )
    if abs(excess) < 1e-6:
        return
    bucket = BufferModel(Peak(maxrate, bufsize))
    assert ([bucket.take(t, 8 * s) for t, s in zip(times, sizes, strict=True)].count(False) > 0) == (
        excess > 0
    )
    assert bool(leaky_bucket(sizes, times, maxrate, bufsize)) == (excess > 0)


def test_solve_level_finds_the_level_or_the_nearer_end():
    assert solve_level(np.exp, np.exp(1.234), 0, 5) == pytest.approx(1.234, abs=1e-4)
    assert solve_level(np.exp, 0.5, 0, 5) == 0
    assert solve_level(np.exp, 1e9, 0, 5) == 5
    assert solve_level(np.exp, -3, 0, 5) == 0
    step = solve_level(lambda x: 1.0 if x < 2.5 else 100.0, 10, 0, 5)
    assert step == pytest.approx(2.5, abs=1e-2)


def brute_force(scale, times, cap, peak, levels):
    """The best utility on a grid of levels: the sum of -D, D = -∫ dR/λ, ln λ = level."""
    best, winner = -np.inf, None
    for choice in itertools.product(levels, repeat=len(scale)):
        chosen = np.minimum(choice, cap)
        bits = scale * np.exp(0.5 * chosen)
        if bucket_levels(bits, times, peak, peak.bufsize)[1].min() < -1e-9:
            continue
        utility = float((scale * -np.exp(-0.5 * chosen)).sum()) - float(np.exp(-cap) * bits.sum())
        if utility > best:
            best, winner = utility, chosen
    return best, winner


@pytest.mark.parametrize("seed", range(6))
def test_levels_are_optimal_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.uniform(0, 2, 5))
    times = np.cumsum(rng.uniform(0.5, 1.5, 5))
    peak, cap = Peak(12.0, 14.0), 3.0
    levels = peak_levels(bits_of(scale), times, cap, -20.0, peak, peak.bufsize)
    bits = scale * np.exp(0.5 * levels)
    assert bucket_levels(bits, times, peak, peak.bufsize)[1].min() >= -1e-2
    utility = float((scale * -np.exp(-0.5 * levels)).sum()) - float(np.exp(-cap) * bits.sum())
    best, _ = brute_force(scale, times, cap, peak, np.arange(0.0, 3.01, 0.5))
    assert utility >= best - 1e-3


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(4, 80), st.floats(3, 40))
def test_levels_change_only_where_the_bucket_is_empty_or_full(seed, frames, bufsize, maxrate):
    rng = np.random.default_rng(seed)
    scale = np.exp(np.repeat(rng.uniform(-1, 2, frames), rng.integers(1, 4, frames)))[:frames]
    times = np.cumsum(rng.uniform(0.2, 1.5, frames))
    peak, cap = Peak(maxrate, bufsize), 3.0
    levels = peak_levels(bits_of(scale), times, cap, -40.0, peak, bufsize)
    bits = scale * np.exp(0.5 * levels)
    before, after = bucket_levels(bits, times, peak, bufsize)
    slack = 2e-3 * bufsize + 1e-3 * float(bits.max())
    assert after.min() >= -slack
    assert levels.max() <= cap
    for i in range(1, frames):
        if levels[i] > levels[i - 1] + 0.02:
            assert after[i - 1] <= slack, "rises only where the bucket is empty"
        if levels[i] < levels[i - 1] - 0.02:
            assert before[i] >= bufsize - slack, "falls only where it is full"


def test_without_need_levels_stay_at_the_cap_and_at_the_floor_when_nothing_helps():
    scale, times = np.ones(10), np.arange(10.0)
    assert peak_levels(bits_of(scale), times, 2.0, 0.0, Peak(100, 100), 100).tolist() == [2.0] * 10
    floor = peak_levels(bits_of(scale), times, 2.0, 1.0, Peak(0.5, 1.0), 1.0)
    assert floor.tolist() == [1.0] * 10
