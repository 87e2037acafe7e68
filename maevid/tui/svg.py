"""A figure as a standalone SVG: the same data that the terminal draws, at print quality, without any library."""

from __future__ import annotations

from xml.sax.saxutils import escape

import numpy as np

from maevid.tui.figure import Figure, Kind, Trace
from maevid.tui.session import FloatArray

WIDTH, HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_COLORS = {
    "points": "#1f6fb2",
    "line": "#1f6fb2",
    "bar": "#1f6fb2",
    "peak": "#a9cbe6",
    "curve": "#3a9188",
    "target": "#c2571a",
    "cut": "#9a9a9a",
}


def figure_svg(figure: Figure) -> str:
    """The SVG document of one figure, 720×420 units."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{escape(figure.title)}</text>',
    ]
    out += _axes(figure)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    out.append(
        f'<clipPath id="plot"><rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}"/>'
        '</clipPath><g clip-path="url(#plot)">'
    )
    for place in figure.x.place(figure.cuts):
        x = _LEFT + place * (right - _LEFT)
        out.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="{_COLORS["cut"]}" stroke-dasharray="1 3"/>')
    out += [_trace(figure, trace) for trace in figure.traces]
    out.append("</g>")
    out += _legend(figure)
    if figure.empty:
        out.append(
            f'<text x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle">{escape(figure.empty)}</text>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def _axes(figure: Figure) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    out = []
    for tick in figure.y.ticks(7):
        y = bottom - figure.y.place_one(tick.value) * (bottom - _TOP)
        out.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e3e3e3"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(tick.text)}</text>')
    for tick in figure.x.ticks(9):
        x = _LEFT + figure.x.place_one(tick.value) * (right - _LEFT)
        out.append(f'<path d="M{x:.1f} {bottom}v5" stroke="#777"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(tick.text)}</text>')
    middle = (_LEFT + right) / 2
    out.append(
        f'<text x="{middle:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(figure.x.name)}</text>'
    )
    half = (_TOP + bottom) / 2
    out.append(
        f'<text transform="translate(16 {half:.0f}) rotate(-90)" text-anchor="middle">{escape(figure.y.name)}</text>'
    )
    out.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#777"/>')
    return out


def _places(figure: Figure, trace: Trace) -> tuple[FloatArray, FloatArray]:
    good = np.isfinite(trace.x) & np.isfinite(trace.y)
    x = _LEFT + figure.x.place(trace.x[good]) * (WIDTH - _RIGHT - _LEFT)
    bottom = HEIGHT - _BOTTOM
    return x, bottom - figure.y.place(trace.y[good]) * (bottom - _TOP)


def _trace(figure: Figure, trace: Trace) -> str:
    x, y = _places(figure, trace)
    color = _COLORS[trace.role]
    points = list(zip(x, y, strict=True))
    if not points:
        return ""
    if trace.kind is Kind.POINTS:
        circles = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2"/>' for a, b in points)
        return f'<g fill="{color}" fill-opacity="0.55">{circles}</g>'
    if trace.kind is Kind.BARS:
        width = max((WIDTH - _RIGHT - _LEFT) / max(len(points), 1), 0.5)
        bars = "".join(
            f"M{a:.2f} {HEIGHT - _BOTTOM}V{b:.1f}h{width:.2f}V{HEIGHT - _BOTTOM}z" for a, b in points
        )
        return f'<path d="{bars}" fill="{color}"/>'
    if trace.kind is Kind.STEP:
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(f"H{a:.1f}V{b:.1f}" for a, b in points[1:])
        return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5" stroke-dasharray="6 4"/>'
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'


def _legend(figure: Figure) -> list[str]:
    out, x = [], WIDTH - _RIGHT
    for trace in reversed(figure.traces):
        out.append(
            f'<text x="{x}" y="24" text-anchor="end" fill="{_COLORS[trace.role]}">{escape(trace.name)}</text>'
        )
        x -= 7 * len(trace.name) + 18
    return out
