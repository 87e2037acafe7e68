"""tell what a maevid file is, without decoding it"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maevid.stream.info import FileFacts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", help="a maevid file")
    parser.add_argument("--json", action="store_true", help="all facts as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print the facts."""
    from maevid.stream.info import read_facts

    facts = read_facts(options.file)
    print(facts.to_json() if options.json else "\n".join(f"{k + ':':<12}{v}" for k, v in rows(facts)))
    return 0


def rows(facts: FileFacts) -> list[tuple[str, str]]:
    """What a person wants to know, as (name, text)."""
    from maevid.rate import format_rate, format_size

    rate = f" at {facts.frame_rate} fps" if facts.frame_rate else ""
    length = f", {facts.duration:.3f} s" if facts.duration is not None else ""
    table = [
        ("file", f"{facts.path}, {format_size(facts.file_bytes)}"),
        ("picture", f"{facts.width}x{facts.height}, {facts.frames} frames{rate}{length}"),
    ]
    if facts.bit_rate is not None and facts.bits_per_pixel is not None:
        table.append(("bitrate", f"{format_rate(facts.bit_rate)}, {facts.bits_per_pixel:.3f} bits per pixel"))
    used = list(facts.rate_indices)
    if used:
        spread = f"{used[0]}" if len(used) == 1 else f"{used[0]} to {used[-1]}"
        table.append(("rate index", f"{spread} of 0 to 255"))
    table.append(
        ("codec", f"{facts.codec or 'unknown'}, weights {(facts.weights or facts.model or 'unknown')[:16]}")
    )
    light = {None: "range unknown", True: "full range", False: "limited range"}[facts.color.full_range]
    color = f"matrix {facts.color.matrix}, primaries {facts.color.primaries}, transfer {facts.color.transfer}"
    table.append(("source", f"{facts.source_codec or 'unknown'}, {facts.pixel_format}, {color}, {light}"))
    if facts.rotation:
        table.append(("rotation", f"{facts.rotation} degrees clockwise"))
    if facts.sample_aspect_ratio != "1":
        table.append(("samples", f"{facts.sample_aspect_ratio} as wide as high"))
    for track in facts.tracks:
        details = ", ".join(x for x in (track.language, track.title) if x and x != "und")
        table.append((track.kind, track.codec + (f" ({details})" if details else "")))
    if facts.chapters:
        table.append(("chapters", str(len(facts.chapters))))
    if facts.truncated:
        table.append(("cut", "the file ends within a packet; what is whole before it can be used"))
    if facts.damaged:
        table.append(("damaged", f"{facts.damaged} frames; see `maevid verify`"))
    return table
