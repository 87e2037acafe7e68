"""What measurements say: curves, BD-rates and speed by group, as one structure for table, JSON, CSV and plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from maevid.evaluation.bdrate import CurveError, Point, bd_rate
from maevid.evaluation.measurement import Measurement
from maevid.evaluation.metrics import QUALITIES


@dataclass(frozen=True)
class BdRate:
    """BD-rates of a codec against the reference in percent.

    ``by_input`` has each input's own, ``mean`` their mean; ``pooled`` is that of the curves averaged over inputs.
    None where curves cannot be compared.
    """

    mean: float | None
    pooled: float | None
    by_input: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class PooledPoint:
    """Means over the inputs of a group at one rate index: bits a luma sample, and metrics by name."""

    rate_index: int
    bits_per_pixel: float
    metrics: dict[str, float]


@dataclass
class GroupReport:
    """Results on one group of inputs. Dictionaries are keyed by codec, those with a metric by metric first.

    ``curves`` has the means over all inputs, of the metrics that all inputs have; ``metric_curves`` has those of each
    metric over the inputs that have it. ``pairs[metric][test][reference]`` is the mean BD-rate of every pair.
    Speeds are in million luma samples a second.
    """

    name: str
    inputs: list[str]
    frames: int
    curves: dict[str, list[PooledPoint]] = field(default_factory=dict)
    metric_curves: dict[str, dict[str, list[Point]]] = field(default_factory=dict)
    bd_rates: dict[str, dict[str, BdRate]] = field(default_factory=dict)
    pairs: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    encode_speed: dict[str, float] = field(default_factory=dict)
    decode_speed: dict[str, float] = field(default_factory=dict)


def group_reports(measurements: Sequence[Measurement], reference: str) -> list[GroupReport]:
    """A report for each group, in the order in which groups, codecs and inputs appear."""
    groups: dict[str, list[Measurement]] = {}
    for one in measurements:
        groups.setdefault(one.group, []).append(one)
    return [_group(name, members, reference) for name, members in groups.items()]


def _group(name: str, members: Sequence[Measurement], reference: str) -> GroupReport:
    codecs = list(dict.fromkeys(one.codec for one in members))
    inputs = list(dict.fromkeys(one.input for one in members))
    frames = sum({one.input: len(one.sizes) for one in members}.values())
    report = GroupReport(name, inputs, frames)
    by_codec = {codec: [one for one in members if one.codec == codec] for codec in codecs}
    for codec, own in by_codec.items():
        report.curves[codec] = _pooled(own)
        samples = sum(one.width * one.height * len(one.sizes) for one in own) / 1e6
        report.encode_speed[codec] = samples / max(sum(one.encode_seconds for one in own), 1e-9)
        report.decode_speed[codec] = samples / max(sum(one.decode_seconds for one in own), 1e-9)
    for metric in QUALITIES:
        if not any(one.metrics.get(metric) for one in members):
            continue
        having = {codec: [one for one in own if one.metrics.get(metric)] for codec, own in by_codec.items()}
        report.metric_curves[metric] = {codec: _points(_pooled(own), metric) for codec, own in having.items()}
        against = {
            test: {base: _compare(having[base], having[test], metric) for base in codecs if base != test}
            for test in codecs
        }
        report.pairs[metric] = {
            test: {base: found.mean for base, found in row.items()} for test, row in against.items()
        }
        report.bd_rates[metric] = {test: row[reference] for test, row in against.items() if reference in row}
    return report


def _compare(reference: Sequence[Measurement], test: Sequence[Measurement], metric: str) -> BdRate:
    first, second = _curves(reference, metric), _curves(test, metric)
    by_input = {name: _bd_rate(first[name], second[name]) for name in first if name in second}
    values = [value for value in by_input.values() if value is not None]
    shared = set(by_input)
    pooled = _bd_rate(
        _points(_pooled([one for one in reference if one.input in shared]), metric),
        _points(_pooled([one for one in test if one.input in shared]), metric),
    )
    return BdRate(fmean(values) if values else None, pooled, by_input)


def _curves(members: Iterable[Measurement], metric: str) -> dict[str, list[Point]]:
    curves: dict[str, list[Point]] = {}
    for one in members:
        quality = one.quality(metric)
        if quality is not None:
            curves.setdefault(one.input, []).append((one.bits_per_pixel, quality))
    return curves


def _pooled(members: Sequence[Measurement]) -> list[PooledPoint]:
    """Means at each rate index, of the inputs that have every index and the metrics that every input has."""
    indices = sorted({one.rate_index for one in members})
    rows: dict[str, dict[int, Measurement]] = {}
    for one in members:
        rows.setdefault(one.input, {})[one.rate_index] = one
    whole = [row for row in rows.values() if len(row) == len(indices)]
    if not whole:
        return []
    points = []
    for index in indices:
        ones = [row[index] for row in whole]
        shared = set.intersection(*({name for name, values in one.metrics.items() if values} for one in ones))
        means = {name: fmean(fmean(one.metrics[name]) for one in ones) for name in sorted(shared)}
        points.append(PooledPoint(index, fmean(one.bits_per_pixel for one in ones), means))
    return points


def _points(curve: Iterable[PooledPoint], metric: str) -> list[Point]:
    return [(point.bits_per_pixel, point.metrics[metric]) for point in curve if metric in point.metrics]


def _bd_rate(reference: Iterable[Point], test: Iterable[Point]) -> float | None:
    try:
        return bd_rate(reference, test)
    except CurveError:
        return None


def to_json(reports: Sequence[GroupReport], reference: str, about: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON object; ``about`` says when, how and with which versions it was measured."""
    return {"about": about, "reference": reference, "groups": [asdict(report) for report in reports]}


def to_csv(measurements: Iterable[Measurement]) -> str:
    """One row a measurement, means over its frames."""
    ones = list(measurements)
    metrics = sorted({name for one in ones for name in one.metrics})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fixed = ("group", "input", "codec", "rate_index", "lam", "frames", "bits_per_pixel")
    writer.writerow([*fixed, *metrics, "encode_seconds", "decode_seconds", "threads"])
    for one in ones:
        qualities = ["" if (q := one.quality(name)) is None else f"{q:.5f}" for name in metrics]
        writer.writerow(
            [
                *(one.group, one.input, one.codec, one.rate_index, f"{one.lam:.6g}", len(one.sizes)),
                *(f"{one.bits_per_pixel:.6f}", *qualities),
                *(f"{one.encode_seconds:.4f}", f"{one.decode_seconds:.4f}", one.threads),
            ]
        )
    return out.getvalue()
