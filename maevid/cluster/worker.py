"""What runs on a worker: it opens the client's codec, proves that it is the same one, and codes frames."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from maevid import __version__
from maevid.allocator import keep_freed_memory
from maevid.codec.interface import CodecOptions, Encoded, FrameCodec
from maevid.codec.registry import open_codec
from maevid.errors import ModelError
from maevid.pipeline.measure import measured
from maevid.video.frame import Frame

PROBE_SIZE = 64
"""Side of the picture that tells whether two machines compute alike."""

sent_weights: dict[str, Path] = {}
"""Files that clients have sent to this process, by the name that :class:`Setup` gives them."""


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to do with a frame: code it at a rate index, with or without the decoder's picture, or estimate it."""

    rate_index: int
    reconstruct: bool = False
    estimate: bool = False


Answer = Encoded | float
"""What came of an :class:`Order`: bits, for an estimate."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The codec that a job needs, and how to know it.

    ``options`` names no file: weights of the client's own are sent and found under ``weights``. ``sha256`` is the
    codec's, ``probe`` that of what it makes of a made-up picture (:func:`probe_of`).
    """

    version: str
    codec: str
    options: CodecOptions
    sha256: str
    probe: str
    weights: str | None = None


def setup_of(codec: FrameCodec, options: CodecOptions, weights: str | None = None) -> Setup:
    """What workers must match, for a codec that is open here with ``options``."""
    bare = replace(options, weights=None)
    return Setup(__version__, codec.name, bare, _hash_of(codec), probe_of(codec), weights)


def probe_of(codec: FrameCodec) -> str:
    """SHA-256 of the packets and estimates of a 64×64 picture at three rates.

    Machines whose processors round differently mostly differ in it; equal machines never do.
    """
    row = np.arange(PROBE_SIZE)
    y = (row * 3 + row[:, None] * 2 + (row * row[:, None]) // 7 * 5) % 256
    half = y[::2, ::2] // 2
    frame = Frame(
        y.astype(np.uint8), (half + 60).astype(np.uint8), (200 - half).astype(np.uint8), 0, Fraction(1, 25)
    )
    digest = hashlib.sha256()
    indices = codec.rate_indices[:: max(1, len(codec.rate_indices) // 3)][:3]
    for index in indices:
        digest.update(codec.encode(frame, index).packet.to_bytes())
    digest.update(repr(codec.estimate_bits([frame], indices).tolist()).encode())
    return digest.hexdigest()


def verify(setup: Setup) -> None:
    """Open the codec of ``setup`` in this thread. Raises ModelError where it is not the client's."""
    _codec_for(setup)


def work(setup: Setup, frames: Sequence[Frame], orders: Sequence[Sequence[Order]]) -> list[list[Answer]]:
    """Answers to all orders of all frames, which have one size. Raises ModelError as :func:`verify` does."""
    codec = _codec_for(setup)
    answers: dict[tuple[int, Order], Answer] = {}
    for row, wanted in enumerate(orders):
        estimates = [order for order in wanted if order.estimate]
        if estimates:
            bits = codec.estimate_bits([frames[row]], [order.rate_index for order in estimates])[0]
            answers |= {(row, order): float(b) for order, b in zip(estimates, bits, strict=True)}
    for reconstruct in (False, True):
        keys = [
            (row, order)
            for row, wanted in enumerate(orders)
            for order in wanted
            if not order.estimate and order.reconstruct == reconstruct
        ]
        coded = (
            codec.encode_batch(
                [frames[row] for row, _ in keys],
                [order.rate_index for _, order in keys],
                reconstruct=reconstruct,
            )
            if keys
            else []
        )
        answers |= {
            (row, order): measured(frames[row], one) for (row, order), one in zip(keys, coded, strict=True)
        }
    return [[answers[row, order] for order in wanted] for row, wanted in enumerate(orders)]


class Call:
    """A call that pickles to the making of it: whoever unpickles it gets the result.

    A scheduler has to load the functions of its tasks. With ``pickle.loads`` for the function it needs no maevid, and a
    chunk of frames is opaque bytes to it.
    """

    def __init__(self, function: object, *arguments: object) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._reduced

    def __bytes__(self) -> bytes:
        return pickle.dumps(self, protocol=5)


_opened = threading.local()


def _codec_for(setup: Setup) -> FrameCodec:
    """This thread's codec for a job; a codec is not made for several threads at once."""
    if getattr(_opened, "setup", None) != setup:
        _opened.setup, _opened.codec = None, _open(setup)
        _opened.setup = setup
    codec: FrameCodec = _opened.codec
    return codec


def _open(setup: Setup) -> FrameCodec:
    if setup.version != __version__:
        raise ModelError(
            f"a worker has maevid {__version__}, this is {setup.version}: install the same on all machines"
        )
    # Dask's nannies set glibc to give freed memory back at once.
    keep_freed_memory()
    options = setup.options
    if setup.weights is not None:
        options = replace(options, weights=sent_weights.get(setup.weights))
    codec = open_codec(setup.codec, options)
    found = _hash_of(codec)
    if found != setup.sha256:
        raise ModelError(
            f"a worker has other weights of {setup.codec}, {found[:16]}… instead of {setup.sha256[:16]}…: "
            "install the same maevid on all machines"
        )
    if probe_of(codec) != setup.probe:
        raise ModelError(
            f"a worker with the same {setup.codec} codes a test picture to other bytes ({codec.description}): its "
            "processor rounds differently, or its libraries are of other versions"
        )
    return codec


def _hash_of(codec: FrameCodec) -> str:
    return codec.sha256 or codec.identity.hex()
