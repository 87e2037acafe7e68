"""Finds frame codecs by name among the installed ones (entry-point group ``maevid.codecs``).

An entry point names a function ``open_codec(options: CodecOptions) -> FrameCodec``. Names are listed without
importing anything; only the codec that is asked for is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from maevid.errors import UsageError

if TYPE_CHECKING:
    from maevid.codec.interface import CodecOptions, FrameCodec

GROUP = "maevid.codecs"
DEFAULT_CODEC = "mae"


@dataclass(frozen=True)
class Installed:
    """A registered codec: its name and the package that brings it."""

    name: str
    package: str
    version: str


def installed_codecs() -> list[Installed]:
    """Every registered codec by name; imports none of them."""
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
        found.append(Installed(point.name, package, version))
    return found


def name_and_effort(label: str) -> tuple[str, int]:
    """A codec's name and effort from ``NAME`` or ``NAME@EFFORT``. Raises UsageError where that is no whole number."""
    name, sign, effort = label.partition("@")
    if sign and not (effort.isascii() and effort.isdigit()):
        raise UsageError(f"{label}: after @ stands the effort, a whole number, as in {name}@5")
    return name, int(effort or 0)


def open_codec(name: str, options: CodecOptions) -> FrameCodec:
    """Load the codec of that name. Raises UsageError for an unknown name or one that cannot be loaded."""
    points: list[EntryPoint] = [p for p in entry_points(group=GROUP) if p.name == name]
    if not points:
        names = ", ".join(codec.name for codec in installed_codecs()) or "none"
        raise UsageError(f"no codec {name!r} is installed (installed: {names})")
    try:
        factory = points[0].load()
    except (ImportError, AttributeError) as reason:
        raise UsageError(f"codec {name!r} is installed but cannot be loaded: {reason}") from None
    codec: FrameCodec = factory(options)
    return codec
