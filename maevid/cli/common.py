"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from maevid.codec.interface import CodecOptions
from maevid.stream.packet import MAX_PIXELS


def add_codec_options(parser: argparse.ArgumentParser) -> None:
    """``--device``, ``--precision`` and ``--weights``."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--precision",
        default="auto",
        help="of the transforms: auto, float32, bfloat16 or float16 (default: auto)",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="a model file in place of the codec's own"
    )


def add_effort(parser: argparse.ArgumentParser) -> None:
    """``--effort``, for commands that encode."""
    parser.add_argument(
        "--effort",
        type=int,
        default=0,
        metavar="N",
        help="rounds in which the encoder decodes a frame and mends it, 0 to 100 (default: 0): smaller packets for "
        "time; 5 are worth most of it",
    )


def add_pixel_limit(parser: argparse.ArgumentParser) -> None:
    """``--max-pixels``, for commands that open files from anywhere."""
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"refuse larger pictures, which take some 110 bytes of memory a sample (default: {MAX_PIXELS})",
    )


def codec_options(options: argparse.Namespace) -> CodecOptions:
    """What :func:`add_codec_options` and :func:`add_effort` parsed. Raises UsageError for an effort out of range."""
    effort = getattr(options, "effort", 0)
    return CodecOptions(options.device, options.precision, options.weights, effort)
