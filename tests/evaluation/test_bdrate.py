"""BD-rate against a published implementation on published points, and by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

pytest.importorskip("scipy")
from maevid.evaluation.bdrate import CurveError, bd_rate, frontier

# Means over Kodak of bits a pixel and RGB PSNR as CompressAI publishes them (results/image/kodak, BSD-3), rounded.
JPEG = [
    (0.2212, 23.78), (0.4231, 28.042), (0.5879, 29.785), (0.7289, 30.903), (0.8497, 31.705),
    (0.9644, 32.399), (1.1274, 33.235), (1.3688, 34.394), (1.8588, 36.329), (3.4013, 40.557),
]  # fmt: skip
WEBP = [
    (0.2344, 28.328), (0.3529, 29.821), (0.4608, 30.939), (0.5674, 31.936), (0.6747, 32.883),
    (0.7709, 33.607), (0.874, 34.328), (0.9984, 35.104), (1.5201, 37.778), (2.9285, 41.759),
]  # fmt: skip
VTM = [
    (0.0482, 26.145), (0.1125, 28.493), (0.2458, 31.2), (0.4905, 34.262), (0.8748, 37.42),
    (1.4308, 40.424), (2.3246, 43.506), (3.6326, 46.592),
]  # fmt: skip
HYPERPRIOR = [
    (0.1313, 27.582), (0.2089, 29.197), (0.3199, 30.972), (0.4784, 32.838), (0.6687, 34.526),
    (0.9388, 36.743), (1.2592, 38.584), (1.6602, 40.557),
]  # fmt: skip


@pytest.fixture
def published():
    return pytest.importorskip("bjontegaard", reason="pip install bjontegaard to compare with it")


@pytest.mark.parametrize("test", [JPEG, WEBP, VTM, HYPERPRIOR])
@pytest.mark.parametrize("reference", [JPEG, VTM])
def test_agrees_with_the_published_implementation_on_published_curves(published, reference, test) -> None:
    assert bd_rate(reference, test) == pytest.approx(_theirs(published, reference, test), abs=1e-6)


def test_agrees_with_the_published_implementation_on_any_curve(published) -> None:
    rng = random.Random(3)
    for _ in range(200):
        curves = []
        for _ in range(2):
            rates = np.cumsum([rng.uniform(0.05, 0.4) for _ in range(rng.randint(4, 8))])
            qualities = 28 + 5 * np.log2(rates / 0.1) + np.array([rng.uniform(-0.3, 0.3) for _ in rates])
            qualities = np.maximum.accumulate(qualities) + 1e-3 * np.arange(len(rates))
            curves.append(list(zip(rates.tolist(), qualities.tolist(), strict=True)))
        assert bd_rate(*curves) == pytest.approx(_theirs(published, *curves), abs=1e-6)


def _theirs(published, reference, test) -> float:
    (r1, q1), (r2, q2) = zip(*reference, strict=True), zip(*test, strict=True)
    return published.bd_rate(r1, q1, r2, q2, method="pchip", min_overlap=0, require_matching_points=False)


def test_a_codec_that_needs_a_tenth_less_is_at_minus_ten() -> None:
    assert bd_rate(JPEG, [(0.9 * rate, quality) for rate, quality in JPEG]) == pytest.approx(-10, abs=1e-9)
    assert bd_rate(JPEG, JPEG) == 0


def test_half_a_decibel_better_by_the_slope_of_the_curve() -> None:
    # ln rate = 0.2·quality exactly: a shift by 0.5 dB is a factor of exp(−0.1), whatever the interpolation.
    line = [(math.exp(0.2 * q - 6), q) for q in (28.0, 30.0, 33.0, 36.0, 40.0)]
    assert bd_rate(line, [(rate, q + 0.5) for rate, q in line]) == pytest.approx(
        100 * math.expm1(-0.1), abs=1e-9
    )


def test_order_of_points_does_not_matter_and_beaten_points_do_not_count() -> None:
    worse = (*JPEG, (0.9, 30.0), (1.2, 33.2))
    assert frontier(worse) == JPEG
    assert bd_rate(JPEG, reversed(worse)) == 0


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ([], "fewer than two"),
        ([(1.0, 30.0)], "fewer than two"),
        ([(0.0, 29.0), (-1.0, 28.0), (1.0, float("inf")), (1.0, 30.0)], "fewer than two"),
        ([(1.0, 60.0), (2.0, 70.0)], "no quality in common"),
    ],
)
def test_what_cannot_be_compared_says_why(test, words) -> None:
    with pytest.raises(CurveError, match=words):
        bd_rate(JPEG, test)
