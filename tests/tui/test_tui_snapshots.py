"""Both screens at the two sizes, in every state, from a recorded stream: text and styles against kept snapshots.

After a wanted change: ``MAEVID_UPDATE_SNAPSHOTS=1 python -m pytest tests/tui/test_tui_snapshots.py``, then look at the
difference that git shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from textual.screen import Screen
from tui_screen import compare, read_text
from tui_simulated import BESIDE, CURVE, SimulatedEncode, SimulatedFile, pictures

from maevid.pipeline.events import (
    BesideVideo,
    PauseChanged,
    Phase,
    PhaseChanged,
    Preview,
    Progress,
    TargetChanged,
    Totals,
)
from maevid.report_io import read_recording
from maevid.tui.app import MaevidApp
from maevid.tui.inspect import InspectScreen
from maevid.tui.live import LiveScreen
from maevid.tui.mailbox import Mailbox

SMALL, LARGE = (80, 24), (120, 40)
RECORDING = read_recording(Path(__file__).parent.parent / "assets" / "tui-recording.jsonl.gz")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def live(frames: int | None, state: str = "") -> LiveScreen:
    """The screen after so many frames of the recording (None: still in the analysis pass), 31 ms each."""
    clock = Clock()
    mailbox = Mailbox(clock)
    fields = {k: v for k, v in RECORDING.record("clip").items() if k != "type"}
    mailbox.publish(Totals(**fields))
    mailbox.publish(PhaseChanged(Phase.ANALYSIS, 1, 2))
    clock.now = 2.5
    mailbox.publish(Progress(70))
    if frames is not None:
        mailbox.publish(CURVE)
        mailbox.publish(BesideVideo(BESIDE, whole=True))
        mailbox.publish(PhaseChanged(Phase.ENCODE, 2, 2))
        for report in RECORDING.reports[:frames]:
            clock.now += 0.031
            if report.index == 150:
                mailbox.publish(TargetChanged(2.2e6))
            mailbox.publish(report)
        if frames:
            mailbox.publish(Preview(frames - 1, *pictures(frames - 1)))
    if state == "paused":
        mailbox.publish(PauseChanged(True))
    elif state == "done":
        mailbox.publish(PhaseChanged(Phase.DONE, detail="target 2.00 Mb/s, result 2.02 Mb/s, error +0.88 %"))
    elif state == "failed":
        mailbox.publish(PhaseChanged(Phase.FAILED, detail="park_run.mp4: frame 187 cannot be decoded"))
    return LiveScreen(SimulatedEncode(), mailbox)


def finished() -> InspectScreen:
    return InspectScreen(SimulatedFile(reports=RECORDING.reports, broken=17), Path("/nonexistent"))


CASES: dict[str, tuple[Callable[[], Screen[None]], tuple[int, int], Sequence[str], bool]] = {
    "live-80x24": (lambda: live(187), SMALL, (), False),
    "live-80x24-lambdas": (lambda: live(187), SMALL, ("v",), False),
    "live-80x24-picture": (lambda: live(187), SMALL, ("v", "v"), False),
    "live-80x24-light": (lambda: live(187), SMALL, (), True),
    "live-80x24-opening": (lambda: live(None), SMALL, (), False),
    "live-80x24-first-frame": (lambda: live(1), SMALL, (), False),
    "live-80x24-paused": (lambda: live(120, "paused"), SMALL, (), False),
    "live-80x24-failed": (lambda: live(187, "failed"), SMALL, (), False),
    "live-80x24-confirm": (lambda: live(187), SMALL, ("q",), False),
    "live-80x24-help": (lambda: live(187), SMALL, ("question_mark",), False),
    "live-120x40": (lambda: live(187), LARGE, (), False),
    "live-120x40-light": (lambda: live(187), LARGE, (), True),
    "live-120x40-done": (lambda: live(300, "done"), LARGE, (), False),
    "inspect-80x24": (finished, SMALL, ("down", "down"), False),
    "inspect-80x24-plots": (finished, SMALL, ("w", "v"), False),
    "inspect-80x24-info": (finished, SMALL, ("i",), False),
    "inspect-120x40-worst-map": (finished, LARGE, ("s", "w", "m"), False),
    "inspect-120x40-light-bits": (finished, LARGE, ("w", "m", "m"), True),
}


@pytest.mark.parametrize("name", CASES)
def test_snapshot(name: str) -> None:
    make, size, keys, light = CASES[name]

    async def run() -> None:
        screen = make()
        app = MaevidApp(screen, light)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
            for _ in range(200):
                if isinstance(screen, LiveScreen):
                    screen.look()
                await pilot.pause()
                text = read_text(app)
                if (
                    "decoding" not in text
                    and ("SHA-256" in text or not name.endswith("info"))
                    and not _fetching(screen)
                ):
                    break
            compare(app, name)

    asyncio.run(run())


def _fetching(screen: Screen[None]) -> bool:
    """Whether the picture shown is not yet that of the cursor's frame."""
    return isinstance(screen, InspectScreen) and screen._fetched.position != screen.position
