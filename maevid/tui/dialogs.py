"""Dialogs over a screen: the question before an abort, the help, the facts of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from maevid.tui.session import FactGroup


class ConfirmScreen(ModalScreen[bool]):
    """A question that ``y`` answers with yes and every other way out with no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q,ctrl+c", "answer(False)", "no"),
    ]
    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; background: $background 60%; }
    ConfirmScreen > Vertical { width: 56; height: auto; border: round $error; background: $surface; padding: 1 2; }
    """

    def __init__(self, question: str, consequence: str, yes: str, no: str) -> None:
        super().__init__()
        self._text = Content.assemble(
            (question, "bold"),
            f"\n{consequence}\n\n",
            ("y", "bold $accent"),
            f" {yes}     ",
            ("n", "bold $accent"),
            f" {no}",
        )

    def compose(self) -> ComposeResult:
        """One box."""
        with Vertical():
            yield Static(self._text)

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)


class TextScreen(ModalScreen[None]):
    """Key-value text under headings, scrolling, closed by any of the usual keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,i,enter,ctrl+c", "close", "close")
    ]
    DEFAULT_CSS = """
    TextScreen { align: center middle; background: $background 60%; }
    TextScreen > VerticalScroll {
        width: 76; max-width: 100%; height: auto; max-height: 100%;
        border: round $primary; border-title-color: $heading; border-subtitle-color: $plot-label;
        background: $surface; padding: 0 2;
    }
    """

    def __init__(self, title: str, groups: Sequence[FactGroup]) -> None:
        super().__init__()
        self._title = title
        self._groups = groups

    def compose(self) -> ComposeResult:
        """One scrolling box."""
        with VerticalScroll() as box:
            box.border_title = self._title
            box.border_subtitle = "esc closes · ↑ ↓ scroll"
            yield Static(facts_content(self._groups))

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)


def facts_content(groups: Sequence[FactGroup]) -> Content:
    """Groups with their keys aligned in one column."""
    width = max((len(key) for group in groups for key, _ in group.facts), default=0)
    lines: list[Content] = []
    for group in groups:
        if lines:
            lines.append(Content(""))
        lines.append(Content.assemble((group.title, "bold $heading")))
        lines += [
            Content.assemble((key.ljust(width + 2), "$plot-label"), value) for key, value in group.facts
        ]
    return Content("\n").join(lines)


def _keys(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return pairs


READING = FactGroup(
    "Reading the plots",
    _keys(
        ("◆", "the frame marked now"),
        ("╌", "target bitrate"),
        ("┊  ▾", "scene cut"),
        ("difference", "coded minus source, times 8, around mid-grey"),
    ),
)
LIVE_HELP = (
    FactGroup(
        "Keys",
        _keys(
            ("p", "pause; once more: go on"),
            ("+  -", "raise, lower the target of the rest of the clip by 10 %"),
            ("f", "finish early: a complete, valid file of what is done"),
            ("q", "abort, after y: nothing is left; when done: leave"),
            ("v", "next view: plots, picture"),
            ("t", "dark or light"),
            ("?", "this help"),
        ),
    ),
    READING,
)
INSPECT_HELP = (
    FactGroup(
        "Keys",
        _keys(
            ("↑ ↓  ← →", "previous, next frame; PgUp PgDn Home End"),
            ("s", "sort by frame, bits, PSNR, λ; r turns the order round"),
            ("w", "the worst frame; once more: the next worst"),
            ("m", "picture, with map of bits per 16×16 block, map alone"),
            ("v", "next view: picture, plots"),
            ("i", "stream facts, tags, weights, check results"),
            ("e", "save frames as CSV, plots as SVG, in this folder"),
            ("t", "dark or light"),
            ("c", "check every packet in the background: CRC and latent check"),
            ("q", "leave"),
        ),
    ),
    READING,
)
