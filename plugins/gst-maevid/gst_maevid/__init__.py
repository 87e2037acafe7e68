"""maevid for GStreamer: ``maevidenc`` and ``maeviddec``, found by GStreamer's loader of Python plugins."""

from __future__ import annotations

from pathlib import Path

PLUGIN_PATH = Path(__file__).parent / "elements"
"""What ``GST_PLUGIN_PATH`` must name: the loader looks into its folder ``python``."""
