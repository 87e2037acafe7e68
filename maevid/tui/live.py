"""The screen of a running encode: draws the mailbox a few times a second and turns keys into commands."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer

from maevid.pipeline.events import Phase, Preview
from maevid.tui.columns import moment_of
from maevid.tui.dialogs import LIVE_HELP, ConfirmScreen, TextScreen
from maevid.tui.figures import Scene, bitrate_figure, lambda_figure, rd_figure, size_figure
from maevid.tui.graphics import Graphics
from maevid.tui.mailbox import Mailbox, Snapshot
from maevid.tui.panels import NumbersPanel, ProgressLine, TitleLine
from maevid.tui.picture import GAIN, difference_rgb, picture_rgb
from maevid.tui.picture_widget import Panel, PictureWidget
from maevid.tui.plot_widget import PlotWidget
from maevid.tui.session import EncodeSession
from maevid.tui.units import bitrate

TICK = 0.2
"""Seconds between two looks into the mailbox, at least."""
SLOWEST_TICK = 3.0
SHARE = 0.02
"""Part of one core's time that drawing may take: looks become rarer where it would take more.

Of one core, however many there are: drawing and the encoder's Python hold the interpreter's lock in turn."""
STEP = 1.1
"""What one press of ``+`` or ``-`` multiplies or divides the target by."""


class LiveScreen(Screen[None]):
    """See the module. Views: ``rates`` and ``lambdas`` (they differ on small terminals only) and ``picture``."""

    VIEWS: ClassVar[tuple[str, ...]] = ("rates", "lambdas", "picture")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "pause"),
        Binding("p", "resume", "go on"),
        Binding("plus,equals_sign", "target(1)", "raise", key_display="+"),
        Binding("minus", "target(-1)", "lower", key_display="-"),
        Binding("f", "finish", "finish"),
        Binding("q", "ask_abort", "abort"),
        Binding("q", "leave", "leave"),
        Binding("ctrl+c,ctrl+q", "ask_abort", "abort", show=False),
        Binding("ctrl+c,ctrl+q", "leave", "leave", show=False),
        Binding("v", "view", "view"),
        Binding("t", "app.switch_theme", "theme"),
        Binding("question_mark", "help", "help", key_display="?"),
    ]
    DEFAULT_CSS = """
    LiveScreen #body { height: 1fr; }
    LiveScreen #upper { height: 2fr; width: 1fr; }
    LiveScreen #plots { width: 1fr; }
    LiveScreen .pair { height: 1fr; }
    LiveScreen #pictures { height: 1fr; padding: 0 1; }
    LiveScreen PlotWidget { padding: 0 1 0 0; }

    LiveScreen.picture #upper { display: none; }

    LiveScreen.-narrow #pictures, LiveScreen.-low #pictures { display: none; }
    LiveScreen.-narrow .pair, LiveScreen.-low .pair { layout: vertical; }
    LiveScreen.-narrow.rates #lambdas, LiveScreen.-low.rates #lambdas { display: none; }
    LiveScreen.-narrow.lambdas #rates, LiveScreen.-low.lambdas #rates { display: none; }
    LiveScreen.-narrow.picture #pictures, LiveScreen.-low.picture #pictures { display: block; }
    """

    def __init__(self, session: EncodeSession, mailbox: Mailbox, graphics: Graphics | None = None) -> None:
        super().__init__()
        self._graphics = graphics
        self._session = session
        self._mailbox = mailbox
        self._seen = -1
        self._snapshot = Snapshot(version=-1)
        self._asked_target: float | None = None
        self._preview: Preview | None = None
        self._view = 0
        self._cpu = 0.0

    def compose(self) -> ComposeResult:
        """Title, progress, numbers beside the plots, pictures below, keys."""
        yield TitleLine()
        yield ProgressLine()
        with Vertical(id="body"):
            with Horizontal(id="upper"):
                yield NumbersPanel()
                with Vertical(id="plots"):
                    with Horizontal(id="rates", classes="pair"):
                        yield PlotWidget(id="bitrate")
                        yield PlotWidget(id="rd")
                    with Horizontal(id="lambdas", classes="pair"):
                        yield PlotWidget(id="size")
                        yield PlotWidget(id="lambda")
            yield PictureWidget(graphics=self._graphics, id="pictures", empty="no picture yet")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Start looking."""
        self.add_class(self.VIEWS[self._view])
        self._cpu = time.thread_time()
        self._tick()

    def _tick(self) -> None:
        cost = time.thread_time() - self._cpu
        self._cpu += cost
        self.look()
        self.set_timer(next_look(cost), self._tick)

    def look(self) -> None:
        """Draw what has changed since the last look; the clocks always run."""
        changed = self._mailbox.version != self._seen
        if not changed and self._snapshot.phase.final:
            return
        before = self._snapshot
        self._snapshot = now = self._mailbox.snapshot()
        self._seen = now.version
        self.query_one(ProgressLine).show(now)
        self.query_one(NumbersPanel).show(now)
        if not changed:
            return
        if now.target != before.target:
            self._asked_target = None
        self._title(now)
        if _plotted(now) != _plotted(before):
            self._plots(now)
        self._picture(now.preview)
        for line in now.notes[len(before.notes) :]:
            self.notify(line, timeout=8)
        if (now.phase, now.paused) != (before.phase, before.paused):
            self.refresh_bindings()

    def _title(self, now: Snapshot) -> None:
        totals = now.totals
        if totals is None:
            return
        words = (totals.source, "→", totals.output) if totals.output else (totals.source,)
        shape = f"{totals.width}×{totals.height}" if totals.width else ""
        facts = (shape, totals.codec, totals.device, totals.precision)
        self.query_one(TitleLine).show(words, [fact for fact in facts if fact])

    def _plots(self, now: Snapshot) -> None:
        scene = Scene(
            now.series,
            None if now.totals is None else now.totals.duration,
            now.targets,
            now.curve,
            None if now.last is None else moment_of(now.last),
        )
        self.query_one("#rd", PlotWidget).show(rd_figure(scene))
        self.query_one("#bitrate", PlotWidget).show(bitrate_figure(scene))
        self.query_one("#lambda", PlotWidget).show(lambda_figure(scene))
        self.query_one("#size", PlotWidget).show(size_figure(scene))

    def _picture(self, preview: Preview | None) -> None:
        if preview is None or preview is self._preview:
            return
        self._preview = preview
        self.query_one("#pictures", PictureWidget).show(preview_panels(preview))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the present phase cannot do; of two meanings of a key only one stands."""
        del parameters
        now = self._snapshot
        ended = now.phase.final
        if action in ("pause", "resume"):
            return (None if ended else True) if now.paused == (action == "resume") else False
        if action in ("ask_abort", "leave"):
            return ended == (action == "leave")
        if action == "finish":
            return None if ended else True
        if action == "target":
            return None if ended or now.target is None else True
        return True

    def action_pause(self) -> None:
        """Come to rest."""
        self._session.pause()

    def action_resume(self) -> None:
        """Go on."""
        self._session.resume()

    def action_target(self, direction: int) -> None:
        """Ask for a higher or lower target, three significant digits; presses add up before the encoder answers."""
        target = self._asked_target or self._snapshot.target
        if target is None:
            return
        self._asked_target = float(f"{target * STEP**direction:.3g}")
        self._session.set_target(self._asked_target)
        self.notify(f"target {bitrate(self._asked_target)} from here on", timeout=2)

    def action_finish(self) -> None:
        """Close the file with what is done."""
        self._session.finish_early()
        self.notify("finishing: the file is being closed", timeout=3)

    def action_leave(self) -> None:
        """Leave at once: the encode has ended."""
        self.app.exit()

    def action_ask_abort(self) -> None:
        """Ask before throwing away what is done."""
        output = self._snapshot.totals.output if self._snapshot.totals is not None else ""
        self.app.push_screen(
            ConfirmScreen(
                "Abort the encode?",
                f"Nothing will be left of {output or 'the output'}. (f would keep what is done.)",
                "abort",
                "go on",
            ),
            self._abort,
        )

    def _abort(self, yes: bool | None) -> None:
        if yes:
            self.abort_now()
            self.app.exit()

    def abort_now(self) -> None:
        """Abort unless the encode has ended."""
        if not self._mailbox.snapshot().phase.final:
            self._session.abort()

    def action_view(self) -> None:
        """The next view; the two pairs of plots are one view where they fit together."""
        self.remove_class(self.VIEWS[self._view])
        together = self.has_class("-wide") and self.has_class("-tall")
        self._view = (self._view + 1) % len(self.VIEWS)
        if together and self.VIEWS[self._view] == "lambdas":
            self._view += 1
        self.add_class(self.VIEWS[self._view])

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(TextScreen("maevid compress --tui", LIVE_HELP))

    @property
    def phase(self) -> Phase:
        """The phase drawn last."""
        return self._snapshot.phase


def _plotted(now: Snapshot) -> tuple[object, ...]:
    """What the plots depend on: in the analysis pass, most events change nothing of it."""
    return now.version < 0, now.summary.frames, now.totals, now.targets, now.curve


def next_look(cost: float) -> float:
    """Seconds until the next look when the last one took ``cost`` seconds of processor time."""
    return min(max(cost / SHARE, TICK), SLOWEST_TICK)


def preview_panels(preview: Preview) -> list[Panel]:
    """Source, coded and their amplified difference."""
    height, width = preview.coded[0].shape
    aspect = width / height * preview.pixel_aspect
    source, coded, color, size = preview.source, preview.coded, preview.color, (width, height)
    return [
        Panel(f"source {preview.index}", aspect, size, lambda c, r: picture_rgb(source, color, c, r)),
        Panel("coded", aspect, size, lambda c, r: picture_rgb(coded, color, c, r)),
        Panel(f"difference ×{GAIN}", aspect, size, lambda c, r: difference_rgb(source, coded, c, r)),
    ]
