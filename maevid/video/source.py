"""Opening an input and choosing its video stream, with every way that can fail told in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.container.core import Flags
from av.stream import Disposition

from maevid.atomic import STANDARD_STREAM
from maevid.errors import InputError
from maevid.video.notices import Notices
from maevid.video.passthrough import stream_label

_NOT_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails


def shown_name(path: str | Path) -> str:
    """What to call an input in a message."""
    return "standard input" if str(path) == STANDARD_STREAM else str(path)


def open_input(path: str | Path) -> InputContainer:
    """Open a file, a pipe, an image sequence (``frames/%04d.png``) or, as ``-``, standard input.

    Raises :class:`~maevid.errors.InputError` when it is missing, a folder, unreadable or not a format that
    FFmpeg knows. The name is always taken as a local path, never as a URL. Metadata that is no UTF-8 gets
    replacement characters.
    """
    name = shown_name(path)
    if str(path) == STANDARD_STREAM:
        # Unlike FFmpeg's "pipe:", "fd:" can seek when standard input is a redirected file.
        url, options = "fd:", {"fd": "0"}
    else:
        url, options = "file:" + os.fspath(path), {}
        _check_path(Path(path))
    try:
        container = av.open(url, "r", container_options=options, metadata_errors="replace")
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: permission denied") from error
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist") from error
    except av.error.EOFError as error:
        raise InputError(f"{name} is empty, or ends before its first picture") from error
    except (ValueError, av.error.FFmpegError, OSError) as error:
        raise InputError(f"{name} is not a video that FFmpeg can read ({_words(error)})") from error
    # PyAV asks FFmpeg to make up missing times; in AVI with B-frames those are wrong.
    container.flags &= ~cast(int, Flags.gen_pts.value)
    return container


def choose_video(container: InputContainer, index: int | None, name: str, notices: Notices) -> av.VideoStream:
    """The video stream with number ``index``, or the first of the default ones, or the first.

    Cover pictures and thumbnails do not count as video. Raises :class:`~maevid.errors.InputError` when
    there is no such stream or no decoder for it. Several candidates are told in ``notices``.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _NOT_VIDEO]
    numbers = ", ".join(str(stream.index) for stream in streams)
    if not streams:
        cover = " (its only picture is a cover)" if container.streams.video else ""
        raise InputError(f"{name} has no video stream{cover}")
    if index is not None:
        chosen = next((stream for stream in streams if stream.index == index), None)
        if chosen is None:
            raise InputError(f"stream {index} of {name} is not video; its video streams are: {numbers}")
    else:
        defaults = [stream for stream in streams if Disposition.default in stream.disposition]
        chosen = (defaults or streams)[0]
        if len(streams) > 1:
            notices.add("several", f"{name} has video streams {numbers}; {chosen.index} was taken")
    if chosen.codec_context is None:
        raise InputError(
            f"the video of {name} ({stream_label(chosen)}) has a codec that FFmpeg does not know"
        )
    return chosen


def _check_path(path: Path) -> None:
    """Tell what FFmpeg would tell less clearly."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file, or a sequence of pictures as {path}/%04d.png")
    if not path.exists() and "%" not in path.name:
        raise InputError(f"{path} does not exist")


def _words(error: Exception) -> str:
    """FFmpeg's own words for an error, without number and file name."""
    words = error.strerror if isinstance(error, (av.error.FFmpegError, OSError)) else str(error)
    return (words or "unknown error").lower()
