"""decompress a maevid file to lossless or common video, or to standard output"""

from __future__ import annotations

import argparse
import sys

from maevid.cli.common import add_codec_options, add_pixel_limit, codec_options
from maevid.cli.progress import ProgressLine
from maevid.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", help="a maevid file")
    parser.add_argument(
        "output", help=".mkv (lossless FFV1), .mp4 (x264), .y4m, or - (y4m on standard output)"
    )
    parser.add_argument("--encoder", help="any video encoder of FFmpeg in place of the default")
    parser.add_argument(
        "--encoder-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for the encoder; repeatable",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first damaged frame")
    add_codec_options(parser)
    add_pixel_limit(parser)


def run(options: argparse.Namespace) -> int:
    """Decompress; exit code 1 and the list when frames were damaged."""
    from maevid.pipeline.decompress import DecompressOptions, decompress

    pairs = [text.partition("=") for text in options.encoder_option]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError("--encoder-option wants NAME=VALUE, such as crf=18")
    job = DecompressOptions(
        options.input,
        options.output,
        options.encoder,
        {name: value for name, _, value in pairs},
        codec_options(options),
        options.strict,
        options.max_pixels,
    )
    progress = ProgressLine()
    try:
        result = decompress(job, progress)
    finally:
        progress.clear()
    if options.output != "-":
        print(f"{options.output}: {result.frames} frames, {result.frames / result.seconds:.1f} fps")
    if result.damaged:
        numbers = ", ".join(map(str, result.damaged))
        print(
            f"maevid: {len(result.damaged)} damaged frames show the picture before them: {numbers}",
            file=sys.stderr,
        )
        return 1
    return 0
