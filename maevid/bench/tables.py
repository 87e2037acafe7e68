"""The results of a bench as text for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from maevid.bench.macs import Macs
from maevid.bench.stages import StageTimes
from maevid.bench.throughput import Throughput
from maevid.table import aligned


def macs_text(macs: Macs) -> str:
    """Operations a luma sample, by part and each way."""
    parts = {
        "analysis": macs.analysis,
        "hyper-analysis": macs.hyper_analysis,
        "means and scales": macs.entropy,
        "synthesis": macs.synthesis,
        "encode": macs.encode,
        "decode": macs.decode,
    }
    rows = [["network", "kMAC/pixel"], *([name, f"{count / 1e3:.2f}"] for name, count in parts.items())]
    return aligned(rows)


def stages_text(times: StageTimes, title: str) -> str:
    """Stages each way, then the parts of the network beside the peaks."""
    rows = [["stage", "ms", "share"]]
    for way, stages in (("encode", times.encode), ("decode", times.decode)):
        total = sum(stages.values())
        rows.append([way, f"{1e3 * total:.1f}", ""])
        rows += [[f"  {name}", f"{1e3 * s:.1f}", f"{100 * s / total:.0f} %"] for name, s in stages.items()]
    rows.append(["synthesis for PSNR", f"{1e3 * times.rebuild:.1f}", ""])
    network = [["network", "ms", "GMAC/s", "1x1 ms", "1x1 GMAC/s", "of peak", "other conv ms", "rest ms"]]
    for part in times.parts:
        rest = part.seconds - part.pointwise_seconds - part.spatial_seconds
        milliseconds = [1e3 * s for s in (part.seconds, part.pointwise_seconds, part.spatial_seconds, rest)]
        network.append(
            [
                f"{part.name} ({part.precision})",
                f"{milliseconds[0]:.1f}",
                f"{part.gmacs:.1f}",
                f"{milliseconds[1]:.1f}",
                f"{part.pointwise_gmacs:.1f}",
                f"{100 * part.pointwise_gmacs / times.peaks[part.precision]:.0f} %",
                f"{milliseconds[2]:.1f}",
                f"{milliseconds[3]:.1f}",
            ]
        )
    peaks = ", ".join(f"{name} {peak:.0f} GMAC/s" for name, peak in times.peaks.items())
    return (
        f"{title}\n{aligned(rows)}\n\n{aligned(network)}\n"
        f"peak (matrix products in the same minute): {peaks}\n"
        f"besides the network's products and convolutions: {100 * times.besides_network:.0f} % of the encode time"
    )


def throughput_text(found: Sequence[Throughput]) -> str:
    """One row a size."""
    rows = [["size", "bpp", "encode fps", "with PSNR", "decode fps", "peak MiB"]]
    rows += [
        [
            f"{one.width}x{one.height}",
            f"{one.bits_per_pixel:.2f}",
            f"{one.encode_fps:.2f}",
            f"{one.encode_psnr_fps:.2f}",
            f"{one.decode_fps:.2f}",
            f"{one.peak_bytes / 2**20:.0f}",
        ]
        for one in found
    ]
    return f"whole jobs, file to file\n{aligned(rows)}"


def to_json(
    about: Mapping[str, Any], stages: Mapping[str, StageTimes], found: Sequence[Throughput]
) -> dict[str, Any]:
    """All figures: seconds a frame, operations a luma sample, billions of operations a second, frames a second."""
    return {
        **about,
        "stages": {
            size: {**asdict(times), "besides_network": times.besides_network}
            for size, times in stages.items()
        },
        "throughput": [asdict(one) for one in found],
    }
