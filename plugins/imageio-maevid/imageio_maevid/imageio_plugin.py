"""The imageio v3 plugin ``maevid``: Matroska files of maevid, and its still pictures (``.maev``)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from imageio.core.request import URI_FILENAME, InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3

import maevid
from maevid.access.still import SIGNATURE, SUFFIX, Still
from maevid.atomic import atomic_output
from maevid.errors import InputError, UsageError

Array = npt.NDArray[np.uint8]
Index: TypeAlias = int | EllipsisType | None
DEFAULT_FPS = 25


class MaevidPlugin(PluginV3):
    """One open file. Pictures are uint8 arrays (height, width, 3) of RGB.

    ``device`` (``cpu``, ``cuda``, ``auto``) is where pictures are coded and decoded, ``weights`` names a model file
    other than maevid's own. Reading raises maevid's errors, each with one clear line.
    """

    def __init__(self, request: Request, *, device: str = "cpu", weights: str | None = None) -> None:
        self._video: maevid.Video | None = None
        self._still: Still | None = None
        self._writer: maevid.Writer | None = None
        super().__init__(request)
        self._device, self._weights = device, weights
        self._path = Path()
        if request.mode.io_mode == IOMode.write:
            if request._uri_type != URI_FILENAME:
                raise InitializationError("maevid writes files: give a file name")
            self._path = Path(request.get_local_filename())
            if self._path.suffix.lower() not in (SUFFIX, ".mkv"):
                raise InitializationError(f"maevid writes .mkv and {SUFFIX}, not {self._path.suffix}")
            return
        self._path = Path(request.get_local_filename())
        try:
            self._open()
        except InputError as error:
            raise InitializationError(str(error)) from error

    def read(self, *, index: Index = None) -> Array:
        """A picture by its number; all of a video as a stack (N, height, width, 3) without a number or with ``...``."""
        if self._video is not None:
            found = self._video[slice(None) if index is None or index is Ellipsis else index]
        else:
            found = self._decoded_still(index)
            found = found[None] if index is Ellipsis else found
        array: Array = found
        return array

    def iter(self) -> Iterator[Array]:
        """All pictures in turn, one in memory at a time."""
        if self._video is not None:
            yield from self._video
        else:
            yield self._decoded_still(None)

    def write(
        self,
        ndimage: Any,
        *,
        is_batch: bool | None = None,
        fps: float | Fraction | None = None,
        bitrate: float | None = None,
        quality: float | None = None,
        codec: str = "mae",
    ) -> None:
        """Write one picture, or a stack or list of them; a further call goes on with the same file.

        A picture is uint8, (height, width, 3) of RGB or (height, width) of grey. ``fps`` (25), ``bitrate`` (bits a
        second), ``quality`` (0 to 100) and ``codec`` are those of :class:`maevid.Writer`, and count in the first call.
        ``is_batch`` tells apart a stack of grey pictures and one picture where the shape does not.
        """
        pictures = self._pictures(ndimage, is_batch)
        if self._path.suffix.lower() == SUFFIX:
            if fps is not None or bitrate is not None or len(pictures) != 1 or self._still is not None:
                raise UsageError(
                    f"{self._path} holds one still picture: give one picture, and no fps or bitrate"
                )
            self._still = Still.encode(
                pictures[0],
                quality=quality,
                codec=codec,
                device=self._device,
                weights=None if self._weights is None else Path(self._weights),
            )
            with atomic_output(self._path) as temporary:
                temporary.write_bytes(self._still.to_bytes())
            return
        if self._writer is None:
            self._writer = maevid.Writer(
                self._path,
                bitrate=bitrate,
                quality=quality,
                fps=DEFAULT_FPS if fps is None else fps,
                codec=codec,
                device=self._device,
                weights=self._weights,
            )
        for picture in pictures:
            self._writer.write(picture)

    def properties(self, index: Index = None) -> ImageProperties:
        """Shape and type of what :meth:`read` gives for the same ``index``; nothing is decoded."""
        if self._video is None:
            shape = (*self._opened_still().size[::-1], 3)
            if index is Ellipsis:
                return ImageProperties((1, *shape), np.dtype(np.uint8), n_images=1, is_batch=True)
            return ImageProperties(shape, np.dtype(np.uint8))
        if index is None or index is Ellipsis:
            count = len(self._video)
            return ImageProperties(self._video.shape, np.dtype(np.uint8), n_images=count, is_batch=True)
        self._video.pts_seconds[index]
        return ImageProperties(self._video.shape[1:], np.dtype(np.uint8))

    def metadata(self, index: Index = None, exclude_applied: bool = True) -> dict[str, Any]:
        """What is known of the file; with a number also the time and duration of that picture."""
        del exclude_applied
        if self._video is None:
            still = self._opened_still()
            return {"codec": still.codec, "color": still.color, "rate_index": still.packet.rate_index}
        video, info = self._video, self._video.info
        facts: dict[str, Any] = {
            "fps": video.fps,
            "duration": video.end_seconds - video.pts_seconds.min(),
            "n_images": len(video),
            "color": info.color,
            "rotation": info.rotation,
            "sample_aspect_ratio": info.sample_aspect_ratio,
            "source_codec": info.codec,
            "source_pixel_format": info.pixel_format,
        }
        if index is not None and index is not Ellipsis:
            number = range(len(video))[index]
            facts["pts_seconds"] = float(video.pts_seconds[number])
            facts["duration_seconds"] = float(video.duration_seconds[number])
        return facts

    def close(self) -> None:
        """Complete a file that is written, close one that is read."""
        try:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()
            if self._video is not None:
                self._video.close()
        finally:
            super().close()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None and self._writer is not None:
            self._writer.abort()
        self.close()

    def __del__(self) -> None:
        # A file that was never closed was never completed.
        if self._writer is not None:
            self._writer.abort()
        self.close()

    def _open(self) -> None:
        with self._path.open("rb") as file:
            start = file.read(len(SIGNATURE))
            if start == SIGNATURE:
                self._still = Still.from_bytes(start + file.read())
                return
        self._video = maevid.open(self._path, device=self._device, weights=self._weights)

    def _opened_still(self) -> Still:
        if self._still is None:
            raise ValueError("the file is open for writing")
        return self._still

    def _decoded_still(self, index: Index) -> Array:
        if index not in (None, Ellipsis, 0, -1):
            raise IndexError(f"picture {index} of {self._path}, which has 1")
        weights = None if self._weights is None else Path(self._weights)
        picture: Array = self._opened_still().decode(device=self._device, weights=weights)
        return picture

    def _pictures(self, ndimage: Any, is_batch: bool | None) -> list[Any]:
        if isinstance(ndimage, list | tuple):
            return list(ndimage)
        array = np.asarray(ndimage)
        if is_batch is None:
            is_batch = array.ndim == 4 or (array.ndim == 3 and array.shape[2] != 3)
        return list(array) if is_batch else [array]
