"""list the installed codecs"""

from __future__ import annotations

import argparse

from maevid.codec.registry import DEFAULT_CODEC, installed_codecs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def run(options: argparse.Namespace) -> int:
    """One line a codec: name, package and version; nothing is imported."""
    for codec in installed_codecs():
        note = "  (default)" if codec.name == DEFAULT_CODEC else ""
        print(f"{codec.name:<20} {codec.package} {codec.version}{note}")
    return 0
