"""maevid: a learned all-intra video codec. One modulated autoencoder for every rate, at exactly the bitrate asked for.

The public API is imported when first used: ``import maevid`` alone loads neither torch nor PyAV nor textual.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from maevid.access.dataset import Dataset as Dataset
    from maevid.access.video import Video as Video
    from maevid.access.writer import Writer as Writer
    from maevid.api import compress as compress
    from maevid.api import decompress as decompress
    from maevid.api import open as open
    from maevid.errors import MaevidError as MaevidError

_WHERE = {
    "Dataset": "maevid.access.dataset",
    "MaevidError": "maevid.errors",
    "Video": "maevid.access.video",
    "Writer": "maevid.access.writer",
    "compress": "maevid.api",
    "decompress": "maevid.api",
    "open": "maevid.api",
}

__all__ = ["Dataset", "MaevidError", "Video", "Writer", "__version__", "compress", "decompress", "open"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'maevid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
