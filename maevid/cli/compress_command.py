"""compress a video file at a target bitrate, size or quality"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maevid.atomic import read_only_once
from maevid.cli.common import add_codec_options, add_effort, add_pixel_limit, codec_options
from maevid.cli.progress import ProgressLine
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import UsageError
from maevid.rate import RateRequest, parse_rate, parse_size, parse_zone

if TYPE_CHECKING:
    from maevid.pipeline.compress import CompressOptions, CompressResult
    from maevid.pipeline.events import Listener


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", help="any video that FFmpeg reads; - is standard input")
    parser.add_argument("output", help="the file to write, .mkv")
    target = parser.add_argument_group("target (one of them; default: --quality 50)")
    target.add_argument("-b", "--bitrate", metavar="RATE", help="bits per second of the video: 600k, 2M")
    target.add_argument("--size", help="bytes of the whole file, never over: 20M")
    target.add_argument("--quality", type=float, metavar="Q", help="0 to 100, the same for every frame")
    target.add_argument("--lam", type=float, help="λ, the same for every frame")
    target.add_argument("--psnr", type=float, metavar="DB", help="mean PSNR-Y of the clip")
    target.add_argument("--frame-bytes", type=int, metavar="N", help="no frame over N bytes")
    rate = parser.add_argument_group("rate control")
    rate.add_argument("--passes", type=int, choices=(1, 2), help="1 for live input (default: 2 for targets)")
    rate.add_argument(
        "--maxrate", metavar="RATE", help="peak limit: a buffer that drains at RATE never underflows"
    )
    rate.add_argument(
        "--bufsize", metavar="BITS", help="size of that buffer in bits (default: one second of maxrate)"
    )
    rate.add_argument("--lam-min", type=float, help="lowest λ to use")
    rate.add_argument("--lam-max", type=float, help="highest λ to use")
    rate.add_argument(
        "--zone",
        action="append",
        default=[],
        metavar="A-B:WHAT",
        help="0-99:quality=60, 50-end:factor=2; repeatable",
    )
    rate.add_argument(
        "--smooth",
        type=float,
        default=0.0,
        metavar="G",
        help="0 to 1, even quality for total distortion: on three clips 0.5 cost 0.02 to 0.29 dB of mean PSNR, most "
        "where scenes differ, and took a quarter off its spread over the frames, 1 cost 0.04 to 0.56 dB and halved the "
        "spread; needs two slower passes",
    )
    rate.add_argument(
        "--best-effort", action="store_true", help="go on at the limit where a target is out of reach"
    )
    parser.add_argument(
        "--codec", default=DEFAULT_CODEC, help=f"a registered codec (default: {DEFAULT_CODEC})"
    )
    parser.add_argument(
        "--cluster",
        metavar="WHERE",
        help="code on Dask workers: local, or a scheduler's address, tcp://HOST:8786; the file is the same",
    )
    parser.add_argument("--stream", type=int, help="number of the video stream (default: the best)")
    parser.add_argument(
        "--measure", action="store_true", help="decode every frame for its PSNR and tell the mean"
    )
    parser.add_argument("--dry-run", action="store_true", help="predict size, PSNR and time; write nothing")
    parser.add_argument("--stats-out", type=Path, metavar="FILE", help="keep what the passes measured")
    parser.add_argument("--stats-in", type=Path, metavar="FILE", help="use it in place of the first pass")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted encode of the same options: the result is the same, byte for byte",
    )
    parser.add_argument(
        "--tui", action="store_true", help="show rate, distortion and pictures live; ? for its keys"
    )
    parser.add_argument("--light", action="store_true", help="the TUI's light theme")
    parser.add_argument(
        "--json", action="store_true", help="a JSON line a frame and a summary, on standard output"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say what runs where")
    add_codec_options(parser)
    add_effort(parser)
    add_pixel_limit(parser)


def request_of(options: argparse.Namespace) -> RateRequest:
    """The rate request; raises UsageError for values that make no sense."""
    piped = read_only_once(options.input) and options.passes is None
    request = RateRequest(
        quality=options.quality,
        lam=options.lam,
        bitrate=parse_rate(options.bitrate) if options.bitrate else None,
        size=parse_size(options.size) if options.size else None,
        psnr=options.psnr,
        frame_bytes=options.frame_bytes,
        passes=1 if piped and options.bitrate else options.passes,
        maxrate=parse_rate(options.maxrate) if options.maxrate else None,
        bufsize=parse_rate(options.bufsize) if options.bufsize else None,
        zones=tuple(parse_zone(text) for text in options.zone),
        lam_min=options.lam_min,
        lam_max=options.lam_max,
        smooth=options.smooth,
        best_effort=options.best_effort,
    )
    request.validate()
    return request


def run(options: argparse.Namespace) -> int:
    """Compress; exit code 1 when part of the input could not be decoded."""
    request = request_of(options)
    from maevid.pipeline.compress import CompressOptions, compress
    from maevid.pipeline.events import Event, Totals
    from maevid.report import FrameReport
    from maevid.report_io import report_to_json

    output = sys.stdout  # the display takes sys.stdout's place while it runs
    if options.tui and options.json and output.isatty():
        raise UsageError(
            "--json beside --tui needs standard output for itself: send it to a file with > FILE"
        )
    progress = ProgressLine()
    decibels, measured = 0.0, 0

    def listen(event: Event) -> None:
        nonlocal decibels, measured
        if not options.tui:
            progress(event)
        if isinstance(event, FrameReport):
            if event.psnr:
                decibels += event.psnr["y"]
                measured += 1
            if options.json:
                print(report_to_json(event), file=output, flush=True)
        elif isinstance(event, Totals) and options.verbose:
            progress.clear()
            print(f"maevid: {event.codec} on {event.device}", file=sys.stderr)

    job = CompressOptions(
        options.input,
        options.output,
        request,
        options.codec,
        codec_options(options),
        options.stream,
        measure=options.measure or options.json or options.tui or options.psnr is not None,
        statistics_in=options.stats_in,
        statistics_out=options.stats_out,
        max_pixels=options.max_pixels,
        resume=options.resume,
        cluster=options.cluster,
    )
    if options.dry_run:
        if options.cluster is not None:
            raise UsageError("--dry-run measures a sample on this machine: leave out --cluster")
        from maevid.pipeline.dry_run import dry_run

        prediction = dry_run(job, progress)
        progress.clear()
        print(prediction.line())
        return 0
    result = _compress_in_tui(job, listen, light=options.light) if options.tui else compress(job, listen)
    rate = result.rate
    psnr = decibels / measured if measured else None
    if options.json:
        summary = {
            "type": "summary",
            "frames": result.frames,
            "file_bytes": result.file_bytes,
            "video_bits": rate.bits,
            "bitrate": rate.bitrate,
            "unit": rate.unit,
            "target": rate.target,
            "achieved": rate.achieved,
            "error": rate.error,
            "psnr_y": psnr,
            "seconds": result.seconds,
            "damaged": result.damaged,
        }
        print(json.dumps(summary))
    else:
        quality = f", PSNR-Y {psnr:.2f} dB" if psnr is not None else ""
        print(
            f"{options.output}: {result.frames} frames, {result.file_bytes} bytes{quality}, "
            f"{result.frames / result.seconds:.1f} fps"
        )
        print(rate.line())
    if result.damaged:
        print(f"maevid: {result.damaged} damaged places in {options.input} were passed over", file=sys.stderr)
        return 1
    return 0


def _compress_in_tui(job: CompressOptions, listen: Listener, *, light: bool) -> CompressResult:
    from multiprocessing import resource_tracker

    from maevid.pipeline.compress import compress
    from maevid.pipeline.events import Aborted, Control, Event
    from maevid.tui.app import run_live
    from maevid.tui.job import JobSession
    from maevid.tui.session import Publisher

    def work(publisher: Publisher, control: Control) -> CompressResult:
        def both(event: Event) -> None:
            publisher.publish(event)
            listen(event)

        return compress(job, both, control, publisher.wants_preview)

    if job.cluster:
        # Its start hands on the descriptor of standard error, and Textual's stand-in for that has none.
        resource_tracker.ensure_running()
    session = JobSession(work)
    last = run_live(session, light)
    for note in last.notes:
        print(f"maevid: {note}", file=sys.stderr)
    try:
        return session.result()
    except Aborted:
        raise KeyboardInterrupt from None
