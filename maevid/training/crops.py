"""Crops of training pictures as the codec takes them, to fit what is fitted to a trained network."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from maevid.model.representation import to_levels
from maevid.training.pictures import Pictures
from maevid.video.frame import Plane

log = logging.getLogger("maevid.train")

CROP = 256
AT_ONCE = 8
_TOLD = 64
_A_PICTURE = 4
"""More crops than this of each picture tell little that is new."""


def byte_crops(
    pictures: Pictures, most: int, random: np.random.Generator, purpose: str
) -> Iterator[list[tuple[Plane, Plane, Plane]]]:
    """Batches of :data:`AT_ONCE` crops of 256×256 luma samples, uint8: ``most`` in all, fewer of few pictures.

    ``purpose`` is what the log says of the progress.
    """
    batches = -(-min(most, _A_PICTURE * len(pictures.train)) // AT_ONCE)
    for number in range(batches):
        if number % _TOLD == 0:
            log.info("%s: crop %d of %d", purpose, number * AT_ONCE, batches * AT_ONCE)
        y, u, v = (to_levels(plane)[:, 0].numpy() for plane in pictures.batch(AT_ONCE, CROP, random))
        yield list(zip(y, u, v, strict=True))
