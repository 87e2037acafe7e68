"""The Textual app and the two ways to run it: :func:`run_live` beside an encode, :func:`run_inspect` on a file.

Whatever happens to the display, the terminal is restored and an encode goes on to its end: the session runs in
its own thread, and :func:`run_live` waits for it after the display has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from maevid.errors import UsageError
from maevid.tui.graphics import ask_terminal
from maevid.tui.inspect import InspectScreen
from maevid.tui.live import LiveScreen
from maevid.tui.mailbox import Mailbox, Snapshot
from maevid.tui.session import EncodeSession, InspectSession
from maevid.tui.theme import DARK, LIGHT

_LOOK_FOR_TERMINAL = 2.0


def require_terminal(option: str = "--tui") -> None:
    """Raise UsageError unless keys can be read (standard input) and a screen drawn (standard error).

    Standard output stays free for results and may be a file or a pipe.
    """
    for stream, name in ((sys.__stdin__, "standard input"), (sys.__stderr__, "standard error")):
        if stream is None or stream.closed or not stream.isatty():
            raise UsageError(
                f"{option} needs a terminal, and {name} is none: run it in one, or leave {option} out"
            )
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError(
            f"{option} needs a terminal that can move the cursor: set TERM, or leave {option} out"
        )


@contextlib.contextmanager
def _sized_by_its_terminal() -> Iterator[None]:
    """Textual draws on standard error, but takes the size from ``sys.__stdout__``, which may be a file."""
    before = sys.__stdout__
    if before is None or not before.isatty():
        sys.__stdout__ = sys.__stderr__  # type: ignore[misc]
    try:
        yield
    finally:
        sys.__stdout__ = before  # type: ignore[misc]


def _leave_with_terminal(abort: Callable[[], None]) -> None:
    """Start a thread that ends the process once the terminal is gone: Textual may wait for it for ever.

    ``abort`` is called first and returns when all is cleaned up.
    """
    screen = sys.__stderr__.fileno() if sys.__stderr__ is not None else -1

    def watch() -> None:
        while os.isatty(screen):
            time.sleep(_LOOK_FOR_TERMINAL)
        abort()
        time.sleep(_LOOK_FOR_TERMINAL)  # time to leave in the usual way
        os._exit(128 + signal.SIGHUP)

    threading.Thread(target=watch, name="maevid-terminal", daemon=True).start()


class MaevidApp(App[None], inherit_bindings=False):
    """One screen on one source. ``crash`` holds the exception that ended the display, if one did."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "maevid"
    BINDINGS: ClassVar[list[BindingType]] = []
    CSS = """
    Footer { background: $footer-background; }
    Toast { max-width: 60; padding: 0 1; }
    """

    def __init__(self, screen: Screen[None], light: bool = False) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]
        self._first = screen
        self.crash: BaseException | None = None
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = (LIGHT if light else DARK).name

    def on_mount(self) -> None:
        """Show the source's screen; end in order on the signals that would leave the terminal as it is."""
        self.push_screen(self._first)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Only the main thread may listen to signals; tests run the app elsewhere.
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if isinstance(self._first, LiveScreen):
            self._first.abort_now()
        self.exit()

    def action_switch_theme(self) -> None:
        """Dark to light and back."""
        self.theme = (LIGHT if self.theme == DARK.name else DARK).name

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print a traceback of pages; the caller says in one line what happened.
        self.crash = error
        super()._handle_exception(error)
        self._exit_renderables.clear()


def run_live(session: EncodeSession, light: bool = False) -> Snapshot:
    """Start the session and show it until the user leaves or the display fails; return when the session has ended.

    The last state is returned; what the session raised is for the caller to ask it. Ctrl-C after a failed display
    aborts the session. Raises UsageError without a terminal, before anything starts.
    """
    require_terminal()
    graphics = ask_terminal()
    mailbox = Mailbox()
    session.start(mailbox)

    def abort() -> None:
        session.abort()
        session.wait()

    _leave_with_terminal(abort)
    crash: BaseException | None = None
    try:
        app = MaevidApp(LiveScreen(session, mailbox, graphics), light)
        with _sized_by_its_terminal():
            app.run()
        crash = app.crash
    except Exception as error:
        crash = error
    if crash is not None:
        print(
            f"maevid: the display failed ({type(crash).__name__}: {crash}); the encode goes on without it",
            file=sys.stderr,
        )
    try:
        while not session.wait(0.5):
            pass
    except KeyboardInterrupt:
        session.abort()
        session.wait()
    return mailbox.snapshot()


def run_inspect(session: InspectSession, folder: Path | None = None, light: bool = False) -> None:
    """Show a finished file or a recording until the user leaves; exports go to ``folder`` (the current one)."""
    require_terminal("inspect")
    _leave_with_terminal(lambda: None)
    app = MaevidApp(InspectScreen(session, folder or Path.cwd(), ask_terminal()), light)
    with _sized_by_its_terminal():
        app.run()
    if app.crash is not None:
        raise RuntimeError("the display failed") from app.crash
