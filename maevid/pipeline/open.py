"""Opens the codec that a maevid file was made with."""

from __future__ import annotations

from collections.abc import Callable

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import DEFAULT_CODEC, open_codec
from maevid.errors import ModelError
from maevid.stream.reader import StreamReader


def codec_for(
    reader: StreamReader,
    options: CodecOptions,
    opener: Callable[[str, CodecOptions], FrameCodec] = open_codec,
) -> FrameCodec:
    """The codec that decodes a file's packets; ``opener`` gets its name.

    Raises ModelError when it is there with other weights only, and DamagedError for pictures over the reader's limit.
    """
    reader.check_size()
    codec = opener(reader.codec or DEFAULT_CODEC, options)
    needed = next((c.packet.model for c in reader if c.packet is not None), codec.identity)
    if needed != codec.identity:
        full = reader.described.weights
        known = full[:16] if full and full.startswith(needed.hex()) else needed.hex()
        raise ModelError(
            f"{reader.path} was made with weights {known}…, but {codec.name} here has {codec.identity.hex()}…: "
            "give the file's weights with --weights FILE, or install the maevid that made it"
        )
    return codec
