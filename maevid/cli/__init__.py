"""The command line: one module a command; each parses, calls the API and prints."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from maevid import __version__
from maevid.allocator import keep_freed_memory
from maevid.errors import MaevidError

COMMANDS = ("compress", "decompress", "inspect", "info", "verify", "evaluate", "bench", "codecs", "train")
_PIPE_CLOSED = 128 + signal.SIGPIPE
_INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 failed on this input, 2 wrong usage."""
    # Threads that spin while they wait take the cores from whatever else runs; OpenMP reads this when PyTorch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    parser = argparse.ArgumentParser(
        prog="maevid",
        description="A learned video codec: every frame on its own, at exactly the bitrate you ask for.",
    )
    parser.add_argument("--version", action="version", version=f"maevid {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules: dict[str, ModuleType] = {}
    for name in COMMANDS:
        module = modules[name] = import_module(f"maevid.cli.{name}_command")
        summary = (module.__doc__ or "").split("\n", 1)[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    options = parser.parse_args(arguments)
    try:
        code: int = modules[options.command].run(options)
        sys.stdout.flush()
    except MaevidError as error:
        if error.exit_code != _PIPE_CLOSED:
            print(f"maevid: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read has gone. Python would complain once more while closing standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except KeyboardInterrupt as interrupt:
        # Another Ctrl-C while Python winds up would only bring a traceback.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(
            f"maevid: interrupted, {interrupt.args[0] if interrupt.args else 'nothing was written'}",
            file=sys.stderr,
        )
        return _INTERRUPTED
    return code
