"""Print what a shell must know so that GStreamer finds the elements: ``eval "$(python -m gst_maevid)"``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from gst_maevid import PLUGIN_PATH

SYSTEM_PYTHON = Path("/usr/bin/python3")
_ASK = "import sys, gi; print(*sys.version_info[:2]); print(gi.__file__)"


def home_of(name: str) -> str | None:
    """The folder from which this Python imports a package; None where it cannot."""
    found = find_spec(name)
    return None if found is None or found.origin is None else str(Path(found.origin).parents[1])


def bindings() -> str:
    """The folder of GStreamer's bindings, which a virtual environment does not see.

    Raises LookupError with one line where there are none for this version of Python.
    """
    here = home_of("gi")
    if here is not None:
        return here
    try:
        asked = subprocess.run([SYSTEM_PYTHON, "-c", _ASK], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise LookupError(
            f"{SYSTEM_PYTHON} has no PyGObject: apt install python3-gi python3-gst-1.0"
        ) from None
    version, file = asked.stdout.splitlines()
    ours = f"{sys.version_info[0]} {sys.version_info[1]}"
    if version != ours:
        need, have = version.replace(" ", "."), ours.replace(" ", ".")
        raise LookupError(f"GStreamer has Python {need}, this one is {have}: install maevid for {need}")
    return str(Path(file).parents[1])


def exports() -> dict[str, str]:
    """``GST_PLUGIN_PATH`` and ``PYTHONPATH``, with what stood in them behind. Raises LookupError as above."""
    own = [home for home in map(home_of, ("gst_maevid", "maevid")) if home is not None]
    ours = {
        "GST_PLUGIN_PATH": [str(PLUGIN_PATH)],
        # The bindings last: their folder may hold an older NumPy.
        "PYTHONPATH": [*own, *(sysconfig.get_path(kind) for kind in ("purelib", "platlib")), bindings()],
    }
    return {
        name: os.pathsep.join(
            dict.fromkeys([*folders, *filter(None, os.environ.get(name, "").split(os.pathsep))])
        )
        for name, folders in ours.items()
    }


if __name__ == "__main__":
    try:
        for name, value in exports().items():
            print(f"export {name}={shlex.quote(value)}")
    except LookupError as error:
        sys.exit(f"gst_maevid: {error.args[0]}")
