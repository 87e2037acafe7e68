"""maevid for imageio and Pillow: ``import imageio_maevid`` makes both know its videos and still pictures."""

from __future__ import annotations

from imageio.config import known_extensions, known_plugins
from imageio.config.extensions import FileExtension
from imageio.config.plugins import PluginConfig

from imageio_maevid.pillow_plugin import register_pillow

STILL_SUFFIX = ".maev"

known_plugins["maevid"] = PluginConfig("maevid", "MaevidPlugin", "imageio_maevid.imageio_plugin")
if STILL_SUFFIX not in known_extensions:
    known_extensions[STILL_SUFFIX] = [
        FileExtension(extension=STILL_SUFFIX, priority=["maevid"], name="maevid still picture")
    ]
register_pillow(STILL_SUFFIX)
