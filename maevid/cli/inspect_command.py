"""look into a finished file, or a recorded statistics file, in the terminal"""

from __future__ import annotations

import argparse
from pathlib import Path

from maevid.cli.common import add_codec_options, add_pixel_limit, codec_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="a maevid file, or JSON lines that `compress --json` printed")
    parser.add_argument(
        "--source", type=Path, help="the video it was made from: adds PSNR and the difference"
    )
    parser.add_argument("--stream", type=int, help="number of the source's video stream (default: the best)")
    parser.add_argument(
        "--export", type=Path, metavar="FOLDER", help="where exports go (default: this folder)"
    )
    parser.add_argument("--light", action="store_true", help="the light theme")
    add_codec_options(parser)
    add_pixel_limit(parser)


def run(options: argparse.Namespace) -> int:
    """Show the file until the user leaves."""
    from maevid.cli.progress import ProgressLine
    from maevid.pipeline.inspection import Inspection
    from maevid.report_io import is_recording
    from maevid.tui.app import require_terminal, run_inspect
    from maevid.tui.file_session import FileSession
    from maevid.tui.replay import RecordedSession

    require_terminal("inspect")
    if is_recording(options.file):
        run_inspect(RecordedSession(options.file), options.export, options.light)
        return 0
    inspection = Inspection(
        options.file, codec_options(options), options.source, options.stream, options.max_pixels
    )
    if options.source is not None:
        progress = ProgressLine()
        try:
            inspection.measure(progress)
        except BaseException:
            inspection.close()
            raise
        finally:
            progress.clear()
    run_inspect(FileSession(inspection), options.export, options.light)
    return 0
