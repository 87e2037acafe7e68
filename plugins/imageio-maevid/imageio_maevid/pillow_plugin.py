"""maevid in Pillow: ``Image.open`` of still pictures (``.maev``) and videos, ``seek``, and ``save`` of stills.

Nothing of maevid, and no PyTorch, is imported before the first file of its own.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

if TYPE_CHECKING:
    from maevid.access.still import Still
    from maevid.access.video import Video

FORMAT = "MAEV"
SIGNATURE = b"\x89MAEV\r\n\x1a"
MATROSKA = b"\x1a\x45\xdf\xa3"


def register_pillow(suffix: str) -> None:
    """Make Pillow know the format."""
    Image.register_open(FORMAT, MaevImageFile, _is_ours)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, suffix)
    Image.register_mime(FORMAT, "image/x-maevid")


def _is_ours(prefix: bytes) -> bool:
    return prefix.startswith((SIGNATURE, MATROSKA))


class MaevImageFile(ImageFile.ImageFile):
    """A still picture, or the pictures of a video (by file name only), RGB; each is decoded when it is looked at.

    ``info`` holds ``timestamp`` and ``duration`` of the present picture of a video in milliseconds. Raises OSError
    for what is damaged or needs other weights.
    """

    format = FORMAT
    format_description = "maevid"

    def _open(self) -> None:
        from maevid.errors import InputError, MaevidError

        assert self.fp is not None
        self._still: Still | None = None
        self._video: Video | None = None
        try:
            if self.fp.read(len(SIGNATURE)) == SIGNATURE:
                from maevid.access.still import Still

                self._still = Still.from_bytes(SIGNATURE + self.fp.read())
                self._size = self._still.size
                self.n_frames = 1
            else:
                self._open_video()
        except InputError as error:
            # So that other plugins get their turn.
            raise SyntaxError(str(error)) from error
        except MaevidError as error:
            raise OSError(str(error)) from error
        self._mode = "RGB"
        self.is_animated = self.n_frames > 1
        self._frame = 0
        self._wait()

    def _open_video(self) -> None:
        if not self.filename:
            raise SyntaxError("maevid reads videos by file name only")
        from maevid.access.video import Video

        self._video = Video(os.fsdecode(self.filename))
        self._size = (self._video.info.width, self._video.info.height)
        self.n_frames = len(self._video)

    def seek(self, frame: int) -> None:
        """Go to a picture by its number; raises EOFError beyond the last."""
        if self._seek_check(frame):
            self._frame = frame
            self._wait()

    def tell(self) -> int:
        """The number of the present picture."""
        return self._frame

    def load(self) -> Any:
        """Decode the present picture, if that has not been done."""
        if self.tile:
            from maevid.errors import MaevidError

            try:
                if self._still is not None:
                    pixels = self._still.decode()
                else:
                    assert self._video is not None
                    pixels = self._video[self._frame]
            except MaevidError as error:
                raise OSError(str(error)) from error
            if self.fp is not None and self._exclusive_fp:
                self.fp.close()
            self.fp = BytesIO(pixels.tobytes())
        return super().load()

    def load_seek(self, pos: int) -> None:
        """The decoded samples are read from their start."""

    def close(self) -> None:
        """Close the file."""
        if self._video is not None:
            self._video.close()
        super().close()

    def _wait(self) -> None:
        """Have :meth:`load` decode the picture that is now the present one."""
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        if self._video is not None:
            self.info["timestamp"] = round(1000 * self._video.pts_seconds[self._frame])
            self.info["duration"] = round(1000 * self._video.duration_seconds[self._frame])


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write a still picture; ``quality`` (0 to 100) and ``codec`` are taken from the arguments of ``save``."""
    import numpy as np

    from maevid.access.still import Still
    from maevid.errors import MaevidError

    if image.mode not in ("RGB", "L"):
        raise OSError(f"cannot write mode {image.mode} as {FORMAT}: convert it to RGB first")
    options = {name: image.encoderinfo[name] for name in ("quality", "codec") if name in image.encoderinfo}
    try:
        data = Still.encode(np.asarray(image), **options).to_bytes()
    except MaevidError as error:
        raise OSError(str(error)) from error
    file.write(data)
