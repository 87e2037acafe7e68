"""Averages and BD-rates of made-up measurements whose answers are known."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pytest

pytest.importorskip("scipy")
pytest.importorskip("pytorch_msssim")
from maevid.evaluation.measurement import Measurement
from maevid.evaluation.report import group_reports, to_csv
from maevid.evaluation.tables import report_text


def line(codec: str, name: str, factor: float, *, points: int = 5, group: str = "g") -> list[Measurement]:
    """Points of ln(rate) = quality / 4 + constant, with ``factor`` times the rate."""
    ones = []
    for index in range(points):
        quality = 30.0 + 2 * index
        size = round(factor * 2_000_000 * math.exp(quality / 4 - 9))
        ones.append(
            Measurement(
                *(codec, f"{codec}-key", name, group, name, 2, index, 0.1 * 2**index, 1000, 800),
                sizes=[size, size],
                metrics={"psnr_y": [quality - 1, quality + 1], "psnr_yuv": [quality, quality]},
                encode_seconds=4.0,
                decode_seconds=0.5,
                threads=1,
            )
        )
    return ones


def test_bd_rate_is_averaged_over_inputs() -> None:
    ones = line("ref", "a", 1) + line("new", "a", 0.8) + line("ref", "b", 3) + line("new", "b", 2.7)
    (report,) = group_reports(ones, "ref")
    found = report.bd_rates["psnr_y"]["new"]
    assert found.by_input == pytest.approx({"a": -20, "b": -10}, abs=1e-3)
    assert found.mean == pytest.approx(-15, abs=1e-3)
    # Pooled: (0.8 + 2.7) / (1 + 3) of the reference's mean rate at each quality.
    assert found.pooled == pytest.approx(-12.5, abs=1e-3)
    assert report.pairs["psnr_yuv"]["ref"]["new"] == pytest.approx((25 + 100 / 9) / 2, abs=1e-3)
    assert "ms_ssim_db" not in report.bd_rates
    assert report.frames == 4
    assert report.encode_speed["new"] == pytest.approx(2 * 0.8 / 4)
    assert report.decode_speed["new"] == pytest.approx(2 * 0.8 / 0.5)


def test_groups_stay_apart_and_incomplete_inputs_stay_out_of_the_pool() -> None:
    ones = line("ref", "a", 1) + line("new", "a", 0.5) + line("ref", "b", 9) + line("new", "b", 9, points=2)
    ones += line("ref", "c", 1, group="h") + line("new", "c", 2, group="h")
    first, second = group_reports(ones, "ref")
    assert (first.name, second.name) == ("g", "h")
    assert [p.bits_per_pixel for p in first.curves["new"]] == pytest.approx(
        [8 * m.sizes[0] / 800_000 for m in line("new", "a", 0.5)]
    )
    assert second.bd_rates["psnr_y"]["new"].mean == pytest.approx(100, abs=1e-3)


def test_a_metric_that_some_inputs_lack_has_a_curve_over_the_others() -> None:
    tall = [
        replace(one, metrics={**one.metrics, "ms_ssim_db": [10.0 + one.rate_index] * 2})
        for one in line("ref", "a", 1)
    ]
    low = [replace(one, metrics={**one.metrics, "ms_ssim_db": []}) for one in line("ref", "b", 5)]
    (report,) = group_reports(tall + low, "ref")
    assert all("ms_ssim_db" not in point.metrics for point in report.curves["ref"])
    assert report.metric_curves["ms_ssim_db"]["ref"] == [
        (pytest.approx(8 * one.sizes[0] / 800_000), 10.0 + one.rate_index) for one in tall
    ]
    assert report.metric_curves["psnr_y"]["ref"][0][0] == pytest.approx(
        3 * 8 * tall[0].sizes[0] / 800_000, rel=1e-3
    )


def test_what_cannot_be_compared_is_a_dash_in_the_table() -> None:
    (report,) = group_reports(line("ref", "a", 1) + line("new", "a", 1, points=1), "ref")
    assert report.bd_rates["psnr_y"]["new"].mean is None
    row = next(text for text in report_text([report], "ref").splitlines() if text.startswith("new"))
    assert row.split()[:4] == ["new", "-", "-", "-"]


def test_csv_gives_the_means() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(line("ref", "a, b", 1)))))
    assert [float(row["psnr_y"]) for row in rows] == [30, 32, 34, 36, 38]
    assert rows[0]["input"] == "a, b"
    assert rows[0]["threads"] == "1"
