"""check every packet of a maevid file: CRC, header, and the decoded latents"""

from __future__ import annotations

import argparse
import sys

from maevid.cli.common import add_codec_options, add_pixel_limit, codec_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", help="a maevid file")
    parser.add_argument("--quick", action="store_true", help="check headers and CRCs only; needs no weights")
    add_codec_options(parser)
    add_pixel_limit(parser)


def run(options: argparse.Namespace) -> int:
    """Name every bad frame; exit code 1 when there is one, or when the file is cut short."""
    from maevid.cli.progress import ProgressLine
    from maevid.pipeline.events import Phase, PhaseChanged, Progress, Totals
    from maevid.pipeline.open import codec_for
    from maevid.stream.reader import StreamReader
    from maevid.stream.verify import verify

    progress = ProgressLine()
    bad = []
    with StreamReader(options.file, max_pixels=options.max_pixels) as reader:
        codec = None if options.quick else codec_for(reader, codec_options(options))
        progress(Totals(source=options.file, frames=len(reader)))
        progress(PhaseChanged(Phase.ENCODE))
        for check in verify(reader, codec):
            progress(Progress(check.index + 1))
            if check.problem is not None:
                progress.clear()
                print(check.problem)
                bad.append(check.index)
        progress.clear()
        if reader.truncated:
            print(f"{options.file} is cut short after {len(reader)} frames")
        if bad:
            numbers = ", ".join(map(str, bad))
            print(f"{len(bad)} of {len(reader)} frames are bad: {numbers}", file=sys.stderr)
        elif not reader.truncated:
            depth = "headers and CRCs" if codec is None else "headers, CRCs and latents"
            print(f"{options.file}: all {len(reader)} frames are good ({depth})")
        return 1 if bad or reader.truncated else 0
