"""The report as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from maevid.evaluation.metrics import QUALITIES
from maevid.evaluation.report import BdRate, GroupReport
from maevid.table import aligned

_SHORT = {
    "psnr_y": "PSNR-Y",
    "psnr_yuv": "PSNR-YUV",
    "ssim_db": "SSIM",
    "ms_ssim_db": "MS-SSIM",
    "vmaf": "VMAF",
}
_SHOWN = ("psnr_y", "psnr_yuv", "ssim", "ms_ssim", "vmaf")


def report_text(reports: Sequence[GroupReport], reference: str) -> str:
    """BD-rates and speed of each codec by group, then the averaged points of each curve."""
    return "\n\n".join(
        text for report in reports for text in (_bd_table(report, reference), _point_table(report))
    )


def _bd_table(report: GroupReport, reference: str) -> str:
    metrics = [metric for metric in QUALITIES if metric in report.bd_rates]
    rows = [["codec", *(_SHORT[m] for m in metrics), "pooled Y", "enc Mpx/s", "dec Mpx/s"]]
    for codec in report.curves:
        cells = [_percent(report.bd_rates[m].get(codec), codec == reference) for m in metrics]
        luma = report.bd_rates.get("psnr_y", {}).get(codec)
        pooled = "-" if luma is None or luma.pooled is None else f"{luma.pooled:+.1f} %"
        speeds = [f"{report.encode_speed[codec]:.2f}", f"{report.decode_speed[codec]:.2f}"]
        rows.append([codec, *cells, pooled if codec != reference else "0", *speeds])
    count = f"{len(report.inputs)} inputs, {report.frames} frames"
    return f"{report.name} ({count}): BD-rate against {reference}, mean over inputs\n{aligned(rows)}"


def _percent(found: BdRate | None, is_reference: bool) -> str:
    if is_reference:
        return "0"
    return "-" if found is None or found.mean is None else f"{found.mean:+.1f} %"


def _point_table(report: GroupReport) -> str:
    present = {name for curve in report.curves.values() for point in curve for name in point.metrics}
    names = [name for name in _SHOWN if name in present]
    rows = [["codec", "index", "bpp", *(name.replace("_", "-").upper() for name in names)]]
    for codec, curve in report.curves.items():
        for point in curve:
            values = [_value(name, point.metrics.get(name)) for name in names]
            rows.append([codec, str(point.rate_index), f"{point.bits_per_pixel:.3f}", *values])
    return f"{report.name}: means over inputs\n{aligned(rows)}"


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if name in ("ssim", "ms_ssim") else f"{value:.2f}"
