"""What a decoder needs to know of a video, as text tags of its Matroska track, and back.

========================  =====================================================================
MAEVID_VERSION            version of this table, 1
MAEVID_CODEC              name of the codec (``mae``)
MAEVID_MODEL              identity of codec and weights, 8 hexadecimal digits, as in every packet
MAEVID_WEIGHTS            full hash of the weights, hexadecimal
MAEVID_PIXEL_FORMAT       of the source (``yuv420p10le``); coded is 8-bit 4:2:0
MAEVID_COLOR              matrix/primaries/transfer (numbers of ITU-T H.273) and tv, pc or unknown
MAEVID_SOURCE_CODEC       of the source (``h264``)
TIME_BASE                 seconds in one unit of the packets' pts and duration (``1/12800``)
AVERAGE_RATE              frames per second (``30000/1001``)
SAMPLE_ASPECT_RATIO       width over height of a sample (``4/3``)
ROTATION                  degrees clockwise by which a player turns the picture
INTERLACED                1 when the source was
FIELD_ORDER               of an interlaced source, as coded and as shown: ``tt``, ``bb``, ``tb`` or ``bt``
========================  =====================================================================

A tag that is missing or makes no sense counts as not known. mkvmerge and ffmpeg carry them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from maevid.video.frame import ColorTags, VideoInfo

VERSION = 1
_RANGES = {"tv": False, "pc": True, "unknown": None}
_FIELD_ORDERS = {"tt": 2, "bb": 3, "tb": 4, "bt": 5}
"""FFmpeg's numbers."""
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Described:
    """What the tags of a track tell; None for what they do not."""

    version: int | None
    codec: str | None
    model: bytes | None
    weights: str | None
    source_codec: str | None
    pixel_format: str | None
    color: ColorTags | None
    time_base: Fraction | None
    average_rate: Fraction | None
    sample_aspect_ratio: Fraction | None
    rotation: int | None
    interlaced: bool
    field_order: int


def describe(info: VideoInfo, codec: str, model: bytes, weights: str) -> dict[str, str]:
    """The tags for a video, but for those known only at its end."""
    color = info.color
    light = next(name for name, full in _RANGES.items() if full == color.full_range)
    tags = {
        "MAEVID_VERSION": str(VERSION),
        "MAEVID_CODEC": codec,
        "MAEVID_MODEL": model.hex(),
        "MAEVID_WEIGHTS": weights,
        "MAEVID_PIXEL_FORMAT": info.pixel_format,
        "MAEVID_COLOR": f"{color.matrix}/{color.primaries}/{color.transfer} {light}",
        "MAEVID_SOURCE_CODEC": info.codec,
        "TIME_BASE": _ratio(info.time_base),
        "SAMPLE_ASPECT_RATIO": _ratio(info.sample_aspect_ratio),
        "ROTATION": str(info.rotation),
    }
    if info.average_rate is not None:
        tags["AVERAGE_RATE"] = _ratio(info.average_rate)
    if info.interlaced:
        tags["INTERLACED"] = "1"
        order = next((name for name, number in _FIELD_ORDERS.items() if number == info.field_order), "")
        tags["FIELD_ORDER"] = order
    return {name: value for name, value in tags.items() if value}


def read_tags(tags: Mapping[str, str]) -> Described:
    """What the tags of a track tell. Never fails: tags come from strangers."""
    rotation = _integer(tags.get("ROTATION"))
    model = _hexadecimal(tags.get("MAEVID_MODEL"))
    return Described(
        version=_integer(tags.get("MAEVID_VERSION")),
        codec=tags.get("MAEVID_CODEC") or None,
        model=model if model is not None and len(model) == 4 else None,
        weights=tags.get("MAEVID_WEIGHTS") or None,
        source_codec=tags.get("MAEVID_SOURCE_CODEC") or None,
        pixel_format=tags.get("MAEVID_PIXEL_FORMAT") or None,
        color=_color(tags.get("MAEVID_COLOR")),
        time_base=_fraction(tags.get("TIME_BASE")),
        average_rate=_fraction(tags.get("AVERAGE_RATE")),
        sample_aspect_ratio=_fraction(tags.get("SAMPLE_ASPECT_RATIO")),
        rotation=rotation if rotation in {0, 90, 180, 270} else None,
        interlaced=tags.get("INTERLACED") == "1",
        field_order=_FIELD_ORDERS.get(tags.get("FIELD_ORDER", ""), 0),
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _integer(text: str | None) -> int | None:
    digits = (text or "").strip()
    if not (digits.isascii() and digits.removeprefix("-").isdigit() and len(digits) <= 11):
        return None
    value = int(digits)
    return value if abs(value) <= _LARGEST else None


def _fraction(text: str | None) -> Fraction | None:
    """A positive fraction with both parts below 2**31."""
    parts = [_integer(part) for part in (text or "").split("/")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None or parts[0] <= 0 or parts[1] <= 0:
        return None
    return Fraction(parts[0], parts[1])


def _hexadecimal(text: str | None) -> bytes | None:
    try:
        return bytes.fromhex(text or "x")
    except ValueError:
        return None


def _color(text: str | None) -> ColorTags | None:
    points, _, light = (text or "").partition(" ")
    numbers = [_integer(part) for part in points.split("/")]
    if len(numbers) != 3 or light not in _RANGES:
        return None
    known = [number for number in numbers if number is not None and 0 <= number <= 255]
    if len(known) != 3:
        return None
    return ColorTags(known[0], known[1], known[2], _RANGES[light])
