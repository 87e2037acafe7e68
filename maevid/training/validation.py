"""Rate and distortion on the held-out pictures, with rounded latents and estimated bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch

from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.report import weighted_psnr
from maevid.training.loss import log_loss, objective
from maevid.training.pictures import Entry, Pictures

VALIDATION_LAMBDAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_SIZE = 384


class Point(NamedTuple):
    """One picture at one λ: ln(R + λ·255²·D), bits a luma sample, those of z, PSNR-Y and PSNR-YUV in dB."""

    score: float
    rate: float
    rate_z: float
    psnr_y: float
    psnr_yuv: float


@dataclass(frozen=True)
class Validation:
    """``score`` is the mean ln(R + λ·255²·D) over pictures and λ (0.01 lower is about 1 % less rate).

    ``made_score`` is that of made frames and screens, None without any. ``points`` has, for each λ: bits a luma
    sample, those of z, PSNR-Y and PSNR-YUV in dB (means over pictures).
    """

    score: float
    made_score: float | None
    points: list[tuple[float, float, float, float, float]]


def validate(model: ModulatedAutoencoder, pictures: Pictures, device: str, half: bool) -> Validation:
    """Measure on the middle 384×384 samples of each held-out picture."""
    measured = validation_points(model, pictures, pictures.validation, device, half)
    made = validation_points(model, pictures, pictures.made_validation, device, half)
    points = []
    for lam, rows in measured.items():
        _, rate, rate_z, psnr_y, psnr_yuv = (round(fmean(column), 4) for column in zip(*rows, strict=True))
        points.append((lam, rate, rate_z, psnr_y, psnr_yuv))
    return Validation(_mean_score(measured), _mean_score(made) if pictures.made_validation else None, points)


def _mean_score(measured: dict[float, list[Point]]) -> float:
    return fmean(row.score for rows in measured.values() for row in rows)


@torch.inference_mode()
def validation_points(
    model: ModulatedAutoencoder, pictures: Pictures, entries: Sequence[Entry], device: str, half: bool
) -> dict[float, list[Point]]:
    """For each λ of :data:`VALIDATION_LAMBDAS` that the model covers, the points of ``entries``."""
    model.eval()
    crops = []
    for entry in entries:
        width, height = min(_SIZE, entry.width) // 64 * 64, min(_SIZE, entry.height) // 64 * 64
        top, left = (entry.height - height) // 4 * 2, (entry.width - width) // 4 * 2
        planes = []
        for number, plane in enumerate(pictures.planes(entry)):
            s = 1 if number == 0 else 2
            crop = plane[top // s : (top + height) // s, left // s : (left + width) // s].copy()
            planes.append(torch.from_numpy(crop)[None, None].to(device).float() / 255)
        crops.append(planes)
    config = model.config
    within = [lam for lam in VALIDATION_LAMBDAS if config.lambda_min <= lam <= config.lambda_max]
    chosen = within or [config.lambda_min]
    lams = torch.tensor(chosen, device=device)
    measured: dict[float, list[Point]] = {lam: [] for lam in chosen}
    for planes in crops:
        sources = [plane.expand(len(chosen), -1, -1, -1) for plane in planes]
        with torch.autocast(torch.device(device).type, torch.bfloat16, half):
            output = model(*sources, lams, noise=False)
        terms = objective(model, output, lams, None)
        errors = [
            ((decoded - source) ** 2).mean((1, 2, 3))
            for decoded, source in zip(model.planes(output.decoded.clamp(0, 1)), sources, strict=True)
        ]
        psnr = -10 * torch.stack(errors).clamp_min(1e-10).log10()
        columns = (
            log_loss(terms.loss),
            terms.rate_y + terms.rate_z,
            terms.rate_z,
            *psnr,
        )
        for lam, (score, rate, rate_z, y, u, v) in zip(chosen, torch.stack(columns, 1).tolist(), strict=True):
            measured[lam].append(Point(score, rate, rate_z, y, weighted_psnr({"y": y, "u": u, "v": v})))
    return measured
