"""The screen of a finished file or a recording: the table of frames, their pictures and block maps, the plots."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer

from maevid.errors import MaevidError
from maevid.report import FrameReport
from maevid.tui.columns import FrameColumns
from maevid.tui.detail import FrameDetail, check_text
from maevid.tui.dialogs import INSPECT_HELP, TextScreen
from maevid.tui.export import export_all
from maevid.tui.fetch import Checked, Fetched, Fetcher
from maevid.tui.figures import Scene, bitrate_figure, lambda_figure, rd_figure, size_figure
from maevid.tui.frame_table import FrameTable, next_sort
from maevid.tui.graphics import Graphics
from maevid.tui.panels import TitleLine
from maevid.tui.picture import GAIN, Rgb, block_map_rgb, difference_rgb, picture_rgb
from maevid.tui.picture_widget import Panel, PictureWidget
from maevid.tui.plot_widget import PlotWidget
from maevid.tui.session import FactGroup, InspectSession
from maevid.tui.units import bitrate, clock, size

MAPS = ("picture", "picture + bits", "bits")
_CHECK_EVERY = 0.2
T = TypeVar("T")


class InspectScreen(Screen[None]):
    """See the module. Views: ``pictures`` and ``plots``."""

    VIEWS: ClassVar[tuple[str, ...]] = ("pictures", "plots")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "rev"),
        Binding("w", "worst", "worst"),
        Binding("m", "map", "map"),
        Binding("v", "view", "view"),
        Binding("c", "check", "CRC"),
        Binding("i", "facts", "info"),
        Binding("e", "export", "save"),
        Binding("t", "app.switch_theme", "dark"),
        Binding("q", "app.quit", "quit"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("ctrl+c,ctrl+q", "app.quit", "quit", show=False),
    ]
    DEFAULT_CSS = """
    InspectScreen #body { height: 1fr; }
    InspectScreen #upper { height: 3fr; }
    InspectScreen FrameTable { width: 52; }
    InspectScreen #right { width: 1fr; padding: 0 0 0 1; }
    InspectScreen #lower { height: 2fr; }
    InspectScreen #plots { width: 1fr; display: none; }
    InspectScreen PlotWidget { padding: 0 1 0 0; }
    InspectScreen.plots #right { display: none; }
    InspectScreen.plots #plots { display: block; padding: 0 0 0 1; }
    InspectScreen.plots #lower { display: none; }

    InspectScreen.-narrow FrameTable { width: 34; }
    InspectScreen.-narrow KeyGroup, InspectScreen.-narrow FooterLabel { display: none; }
    InspectScreen.-narrow #lower, InspectScreen.-low #lower { display: none; }
    """

    def __init__(self, session: InspectSession, folder: Path, graphics: Graphics | None = None) -> None:
        super().__init__()
        self._graphics = graphics
        self._session = session
        self._folder = folder
        self._columns = FrameColumns(session.reports)
        self._view = 0
        self._map = 0
        self._fetched = Fetched(-1)
        self._worst_rank = -1
        self._checked = Checked()
        self._fetcher: Fetcher | None = None
        self._facts_open = False
        seconds = self._columns.series.duration.sum()
        target = session.target_bitrate
        self._scene = Scene(
            self._columns.series,
            float(seconds),
            ((0.0, target),) if target else (),
            now=self._columns.moment(0),
        )

    def compose(self) -> ComposeResult:
        """Table beside the picture, plots below or in its place, keys."""
        yield TitleLine()
        with Vertical(id="body"):
            with Horizontal(id="upper"):
                yield FrameTable(self._columns)
                with Vertical(id="right"):
                    yield PictureWidget(graphics=self._graphics, id="pictures", empty="decoding")
                    yield FrameDetail()
                with Vertical(id="plots"):
                    yield PlotWidget(id="rd")
                    yield PlotWidget(id="bitrate")
                    yield PlotWidget(id="lambda")
            with Horizontal(id="lower"):
                yield PlotWidget(id="size")
                yield PlotWidget(id="lower-right")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Start the worker and ask for the first picture."""
        self._fetcher = Fetcher(
            self._session,
            self._hand_over(self._picture_came),
            self._hand_over(self._facts_came),
            self._check_came,
        )
        self.add_class(self.VIEWS[0])
        self.query_one(FrameTable).focus()
        self._title()
        self._plots()
        self._detail()
        self._fetcher.want_picture(0)
        self.set_interval(_CHECK_EVERY, self._show_check)

    def _hand_over(self, receive: Callable[[T], None]) -> Callable[[T], None]:
        """A function for the worker that calls ``receive`` in the display's thread and does not wait for it.

        The context goes along: Textual finds its app in it.
        """
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def hand_over(value: T) -> None:
            loop.call_soon_threadsafe(receive, value, context=context)

        return hand_over

    def on_unmount(self) -> None:
        """End the worker; it closes the session."""
        if self._fetcher is not None:
            self._fetcher.close()

    @property
    def position(self) -> int:
        """Place of the frame at the cursor."""
        return self.query_one(FrameTable).position

    def _title(self) -> None:
        columns, checked = self._columns, check_text(self._checked, len(self._columns))
        seconds = float(columns.series.duration.sum())
        bits = int(columns.bits.sum())
        words = [f"{len(columns)} frames", clock(seconds), size(bits)]
        if seconds > 0:
            words.append(bitrate(bits / seconds))
        if columns.has_psnr:
            words.append(f"{np.nanmean(columns.psnr):.2f} dB")
        if checked:
            words.append(checked)
        self.query_one(TitleLine).show((self._session.name,), words)

    def _plots(self) -> None:
        rd = rd_figure(self._scene)
        for name, figure in (
            ("rd", rd),
            ("lower-right", rd if self._columns.has_psnr else lambda_figure(self._scene)),
            ("bitrate", bitrate_figure(self._scene)),
            ("lambda", lambda_figure(self._scene)),
            ("size", size_figure(self._scene)),
        ):
            self.query_one(f"#{name}", PlotWidget).show(figure)

    def _detail(self) -> None:
        position = self.position
        fetched = self._fetched
        bits = fetched.block_bits if self._map and fetched.position == position else None
        wrong = dict(self._checked.bad).get(position, "")
        no_psnr = "the frame or its source is missing" if self._columns.has_psnr else "no --source given"
        self.query_one(FrameDetail).show(self._columns.reports[position], bits, wrong, no_psnr)

    def on_frame_table_moved(self, message: FrameTable.Moved) -> None:
        """Follow the cursor."""
        if self._fetcher is not None:
            self._fetcher.want_picture(message.position)
        self._scene = Scene(
            self._scene.series,
            self._scene.duration,
            self._scene.targets,
            now=self._columns.moment(message.position),
        )
        self._plots()
        self._detail()

    def _picture_came(self, fetched: Fetched) -> None:
        if not self.is_mounted:
            return
        self._fetched = fetched
        self._show_picture()
        self._detail()

    def _show_picture(self) -> None:
        fetched, widget = self._fetched, self.query_one("#pictures", PictureWidget)
        if fetched.picture is None:
            widget.show(
                (), f"✘ {fetched.error}" if fetched.error else "this source holds numbers only, no pictures"
            )
            return
        widget.show(picture_panels(fetched, self._columns.reports[fetched.position], self._map))

    def _facts_came(self, facts: Sequence[FactGroup]) -> None:
        self._facts_open = False
        groups = [*facts, *self._check_facts()] or [FactGroup("Nothing is known", ())]
        self.app.push_screen(TextScreen(self._session.name, groups))

    def _check_facts(self) -> list[FactGroup]:
        if not self._session.checkable:
            return []
        text = check_text(self._checked, len(self._columns)) or "not run yet: c checks every packet"
        bad = tuple((f"frame {self._columns.reports[p].index}", wrong) for p, wrong in self._checked.bad)
        return [FactGroup("Check", (("packets", text), *bad))]

    def _check_came(self, checked: Checked) -> None:
        # Called in the worker for every packet: only keeps the value, the display looks a few times a second.
        self._checked_last = checked

    _checked_last = Checked()

    def _show_check(self) -> None:
        if self._checked_last is not self._checked:
            self._checked = self._checked_last
            self.query_one(FrameTable).mark_bad({position for position, _ in self._checked.bad})
            self._title()
            self._detail()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what this source cannot do."""
        del parameters
        if action == "check":
            return True if self._session.checkable else None
        return True

    def action_sort(self) -> None:
        """The next order."""
        table = self.query_one(FrameTable)
        table.sort(*next_sort(table.sort_key, self._columns.has_psnr))

    def action_reverse(self) -> None:
        """The same order from the other end."""
        table = self.query_one(FrameTable)
        table.sort(table.sort_key, not table.descending)

    def action_worst(self) -> None:
        """The worst frame; the next worst when the cursor is where the last press brought it."""
        worst = self._columns.worst()
        at_last = self._worst_rank >= 0 and int(worst[self._worst_rank]) == self.position
        self._worst_rank = min(self._worst_rank + 1, len(worst) - 1) if at_last else 0
        self.query_one(FrameTable).go_to(int(worst[self._worst_rank]))

    def action_map(self) -> None:
        """Picture, map over it, map alone."""
        if self._fetched.picture is not None and self._fetched.block_bits is None:
            self.notify("this codec does not tell bits by block", timeout=3)
            return
        self._map = (self._map + 1) % len(MAPS)
        self._show_picture()
        self._detail()

    def action_view(self) -> None:
        """Pictures or plots."""
        self.remove_class(self.VIEWS[self._view])
        self._view = (self._view + 1) % len(self.VIEWS)
        self.add_class(self.VIEWS[self._view])

    def action_check(self) -> None:
        """Check every packet in the background."""
        if self._fetcher is not None:
            self._fetcher.want_check()

    def action_facts(self) -> None:
        """Show what is known of the file."""
        if self._fetcher is not None and not self._facts_open:
            self._facts_open = True
            self._fetcher.want_facts()

    def action_export(self) -> None:
        """Write CSV and SVG files and say where."""
        try:
            paths = export_all(
                self._folder, Path(self._session.name).stem, self._session.reports, self._scene
            )
        except MaevidError as error:
            self.notify(str(error), severity="error", timeout=6)
        else:
            self.notify("\n".join(path.name for path in paths), title=f"written in {self._folder}", timeout=6)

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(TextScreen("maevid inspect", INSPECT_HELP))


def picture_panels(fetched: Fetched, report: FrameReport, mode: int) -> list[Panel]:
    """The coded picture in one of ``MAPS``; with its source and the difference where there is a source."""
    picture = fetched.picture
    if picture is None:
        return []
    height, width = picture.coded[0].shape
    aspect = width / height * picture.pixel_aspect
    bits, coded, source, color = fetched.block_bits, picture.coded, picture.source, picture.color

    def coded_rgb(columns: int, rows: int) -> Rgb:
        rgb = picture_rgb(coded, color, columns, rows)
        if bits is None or mode == 0:
            return rgb
        return block_map_rgb(bits, (report.width, report.height), columns, rows, rgb if mode == 1 else None)

    caption = f"coded {report.index}" if bits is None or mode == 0 else f"coded {report.index}, {MAPS[mode]}"
    size = (width, height)
    panels = [Panel(caption, aspect, size, coded_rgb)]
    if source is not None:
        panels += [
            Panel("source", aspect, size, lambda c, r: picture_rgb(source, color, c, r)),
            Panel(f"difference ×{GAIN}", aspect, size, lambda c, r: difference_rgb(source, coded, c, r)),
        ]
    return panels
