"""Metrics against closed forms; VMAF where there is an ffmpeg that has it."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("pytorch_msssim")
from maevid.evaluation import vmaf
from maevid.evaluation.metrics import decibels, measure

RNG = np.random.default_rng(1)


def planes(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    luma = (120 + 50 * np.sin(columns / 9) + 40 * np.cos(rows / 5) + RNG.normal(0, 4, rows.shape)).clip(
        0, 255
    )
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 100, np.uint8)
    return luma.astype(np.uint8), chroma, chroma + 50


def test_psnr_of_constant_errors_and_their_weighted_mean() -> None:
    y, u, v = planes(176, 192)
    y = y.clip(0, 200)
    found = measure((y, u, v), (y + 4, u + 2, v - 1))
    expected = {name: 20 * math.log10(255 / error) for name, error in (("y", 4), ("u", 2), ("v", 1))}
    for name, value in expected.items():
        assert found[f"psnr_{name}"] == pytest.approx(value)
    assert found["psnr_yuv"] == pytest.approx((6 * expected["y"] + expected["u"] + expected["v"]) / 8)


def test_equal_planes_are_perfect_and_noise_lowers_every_metric() -> None:
    source = planes(176, 192)
    exact = measure(source, source)
    assert exact["ssim"] == pytest.approx(1, abs=1e-5)
    assert exact["ms_ssim"] == pytest.approx(1, abs=1e-5)
    last = exact
    for sigma in (2, 6, 18):
        noisy = (source[0] + RNG.normal(0, sigma, source[0].shape)).clip(0, 255).astype(np.uint8)
        found = measure(source, (noisy, *source[1:]))
        assert all(
            found[name] < last[name] for name in ("psnr_y", "ssim", "ms_ssim", "ssim_db", "ms_ssim_db")
        )
        last = found


def test_ssim_of_flat_planes_is_its_luminance_term() -> None:
    a, b, small = 100.0, 140.0, (0.01 * 255) ** 2
    flat = np.full((32, 32), 100, np.uint8)
    found = measure((flat, flat[:16, :16], flat[:16, :16]), (flat + 40, flat[:16, :16], flat[:16, :16]))
    assert found["ssim"] == pytest.approx((2 * a * b + small) / (a * a + b * b + small), abs=2e-4)


def test_small_pictures_go_without_what_does_not_fit() -> None:
    assert "ms_ssim" not in measure(planes(160, 192), planes(160, 192))
    assert "ms_ssim" in measure(planes(161, 161), planes(161, 161))
    tiny = measure(planes(10, 30), planes(10, 30))
    assert set(tiny) == {"psnr_y", "psnr_u", "psnr_v", "psnr_yuv"}


def test_decibels() -> None:
    assert decibels(0.99) == pytest.approx(20)
    assert decibels(1.0) == 100


def test_vmaf_falls_with_noise_and_takes_every_frame_on_its_own() -> None:
    if not vmaf.available():
        pytest.skip("no ffmpeg with libvmaf on the search path")
    source = planes(145, 161)
    noisy = ((source[0] + RNG.normal(0, 12, source[0].shape)).clip(0, 255).astype(np.uint8), *source[1:])
    (exact,), (worse,) = vmaf.vmaf([source], [source]), vmaf.vmaf([source], [noisy])
    assert exact > 95
    assert worse < exact - 5
    dark = (source[0] // 4, *source[1:])
    assert vmaf.vmaf([dark, source], [dark, noisy])[1] == pytest.approx(worse, abs=1e-3)


def test_vmaf_leaves_out_pictures_that_are_too_small() -> None:
    assert vmaf.vmaf([planes(15, 64)], [planes(15, 64)]) == []
