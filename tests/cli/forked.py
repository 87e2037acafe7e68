"""The command line in processes of its own, forked from one that has PyTorch loaded: they start in milliseconds."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["maevid.cli", "maevid.pipeline.compress", "maevid.codec.mae"])


def start(arguments: list[str], log: Path) -> ForkServerProcess:
    """``maevid ARGUMENTS`` in a new process; what it prints goes to ``log``."""
    process = _CONTEXT.Process(target=_command, args=(arguments, str(log)))
    process.start()
    return process


def _command(arguments: list[str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from maevid.cli import main

    sys.exit(main(arguments))
