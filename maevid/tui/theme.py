"""Two themes, dark and light, and what each role of a plot looks like in them."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="maevid-dark",
    dark=True,
    primary="#5aa9e6",
    secondary="#4fb3a5",
    accent="#f2a93b",
    warning="#f2a93b",
    error="#ef6461",
    success="#6cc070",
    foreground="#d7dde4",
    background="#12161b",
    surface="#181d24",
    panel="#222932",
    variables={
        "plot-points": "#5aa9e6",
        "plot-curve": "#4fb3a5",
        "plot-bar": "#5aa9e6",
        "plot-peak": "#2d4a63",
        "plot-target": "#f2a93b",
        "plot-now": "#ffd166",
        "plot-cut": "#8d7bd1",
        "plot-axis": "#4a5563",
        "plot-label": "#93a0ae",
        "heading": "#8fc4ee",
        "footer-key-foreground": "#f2a93b",
        "footer-background": "#181d24",
    },
)

LIGHT = Theme(
    name="maevid-light",
    dark=False,
    primary="#1f6fb2",
    secondary="#1d7a70",
    accent="#b35309",
    warning="#9a5b00",
    error="#b3261e",
    success="#2a7a33",
    foreground="#1d2329",
    background="#fbfbf9",
    surface="#f1f1ed",
    panel="#e4e5e0",
    variables={
        "plot-points": "#1f6fb2",
        "plot-curve": "#1d7a70",
        "plot-bar": "#2f7dbd",
        "plot-peak": "#bcd6eb",
        "plot-target": "#b35309",
        "plot-now": "#b3261e",
        "plot-cut": "#6a4fb0",
        "plot-axis": "#a9b0b6",
        "plot-label": "#59636d",
        "heading": "#15568c",
        "footer-key-foreground": "#9a4a08",
        "footer-background": "#f1f1ed",
    },
)
