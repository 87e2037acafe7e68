"""Opening a file that ought to be a maevid file, and saying what it is when it is not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from maevid.atomic import reason
from maevid.errors import InputError


def open_descriptor(path: Path) -> int:
    """Open an ordinary file for reading; the caller closes the descriptor.

    Raises InputError for anything else. A pipe is not even opened: that would wait for its writer.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder, not a maevid file")
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{path} is not an ordinary file; a maevid file is read at random: copy it to a disk"
            )
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot open {path}: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"cannot open {str(path)!r}: no file has such a name") from error


def what_it_is(path: Path) -> str:
    """Half a sentence on what the file is instead, with what to do about it."""
    import av
    import av.error

    if path.stat().st_size == 0:
        return "it is empty"
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            for stream in container.streams.video:
                context = stream.codec_context
                codec = context.name if context is not None else "of a codec that FFmpeg does not know"
                return f"its video is {codec}; use `maevid compress` to make one from it"
            return "it has no video"
    except (av.error.FFmpegError, ValueError):
        return "neither maevid nor FFmpeg can read it"
