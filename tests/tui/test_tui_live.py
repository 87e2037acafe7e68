"""The live screen under Textual's pilot: every key, every state, both sizes, a crash, and 60,000 frames."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from tui_screen import read_screen, read_text
from tui_simulated import SimulatedEncode, many, numbers, pictures

from maevid.pipeline.events import (
    Control,
    Note,
    PauseChanged,
    Phase,
    PhaseChanged,
    Preview,
    TargetChanged,
    Totals,
)
from maevid.tui.app import MaevidApp
from maevid.tui.dialogs import ConfirmScreen, TextScreen
from maevid.tui.figure import Axis, Figure
from maevid.tui.job import JobSession
from maevid.tui.live import SHARE, SLOWEST_TICK, TICK, LiveScreen, next_look
from maevid.tui.mailbox import Mailbox
from maevid.tui.plot_widget import PlotWidget
from maevid.tui.session import EncodeSession

SMALL, LARGE = (80, 24), (120, 40)
Script = Callable[[Pilot[None], LiveScreen], Awaitable[None]]


def drive(
    session: EncodeSession, script: Script, size: tuple[int, int] = SMALL, mailbox: Mailbox | None = None
) -> MaevidApp:
    """Start the session, run the script on its screen, and give the app back."""
    mailbox = mailbox or Mailbox()
    screen = LiveScreen(session, mailbox)
    app = MaevidApp(screen)

    async def run() -> None:
        session.start(mailbox)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await script(pilot, screen)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[None], true: Callable[[], bool], seconds: float = 8.0) -> None:
    """Let the app run until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


async def look(pilot: Pilot[None], screen: LiveScreen) -> str:
    """The text on the screen now."""
    screen.look()
    await pilot.pause()
    return read_text(pilot.app)


def test_p_pauses_and_goes_on() -> None:
    session = SimulatedEncode(400, pace=0.01)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written > 5)
        assert "p pause" in await look(pilot, screen)
        await pilot.press("p")
        await until(pilot, lambda: "pass paused" in read_text(pilot.app))
        rested = session.written
        await pilot.pause(0.1)
        assert session.written == rested
        text = await look(pilot, screen)
        assert "p go on" in text
        assert "p pause" not in text
        await pilot.press("p")
        await until(pilot, lambda: session.written > rested)
        session.abort()

    drive(session, script)
    assert session.log == ["pause", "resume", "abort"]


def test_plus_and_minus_move_the_target_and_presses_add_up() -> None:
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 40)
        screen.look()
        await pilot.press("+", "+", "=", "-")
        assert session.log == ["target 2200000", "target 2420000", "target 2660000", "target 2420000"]
        session.released.set()
        await until(pilot, lambda: session.outcome is Phase.DONE)
        text = await look(pilot, screen)
        assert "╌ 2.42" in text
        assert "2.420" in text

    drive(session, script)


def test_without_a_target_plus_and_minus_do_nothing() -> None:
    session = SimulatedEncode(2000, hold_at=40, target=None)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 40)
        text = await look(pilot, screen)
        assert "none" in text
        await pilot.press("+", "-")
        assert session.log == []
        session.abort()

    drive(session, script)


def test_f_finishes_early_with_what_is_done() -> None:
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 40)
        await pilot.press("f")
        await until(pilot, lambda: session.outcome is Phase.DONE)
        assert "✔ done" in await look(pilot, screen)

    app = drive(session, script)
    assert session.written == 40
    assert app.crash is None


@pytest.mark.parametrize("answer", ["n", "escape", "q"])
def test_q_asks_and_anything_but_y_goes_on(answer: str) -> None:
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 40)
        await pilot.press("q")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert "Abort the encode?" in read_text(pilot.app)
        session.released.set()
        await until(pilot, lambda: session.written == 200)  # the question does not hold the encode
        await pilot.press(answer)
        assert pilot.app.screen is screen
        assert session.log == []

    drive(session, script)


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_q_then_y_aborts_and_leaves(key: str) -> None:
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 40)
        screen.look()
        await pilot.press(key, "y")

    drive(session, script)
    assert session.wait(5)
    assert session.outcome is Phase.ABORTED
    assert session.written == 0


def test_q_leaves_at_once_when_all_is_done() -> None:
    session = SimulatedEncode(30)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.outcome is Phase.DONE)
        text = await look(pilot, screen)
        assert "q leave" in text
        assert "30 frames" in text
        await pilot.press("p", "+", "f")  # grey: nothing happens
        await pilot.press("q")
        assert not isinstance(pilot.app.screen, ConfirmScreen)

    app = drive(session, script)
    assert session.log == []
    assert app.return_code == 0


def test_a_failed_encode_shows_its_line() -> None:
    session = SimulatedEncode(100, fail_at=57)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.outcome is Phase.FAILED)
        assert "✘ failed  park_run.mp4: frame 57 cannot be decoded" in await look(pilot, screen)

    drive(session, script)


def test_question_mark_shows_every_key_and_closes() -> None:
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await pilot.press("?")
        assert isinstance(pilot.app.screen, TextScreen)
        text = read_text(pilot.app)
        for word in (
            "pause",
            "raise, lower",
            "finish early",
            "abort",
            "next view",
            "dark or light",
            "this help",
        ):
            assert word in text
        await pilot.press("escape")
        assert pilot.app.screen is screen
        session.abort()

    drive(session, script)


def test_t_switches_between_dark_and_light() -> None:
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 40)
        await look(pilot, screen)
        dark = read_screen(pilot.app).styles
        await pilot.press("t")
        assert not pilot.app.current_theme.dark
        await look(pilot, screen)
        assert read_screen(pilot.app).styles[2] != dark[2]
        await pilot.press("t")
        assert pilot.app.current_theme.dark
        session.abort()

    drive(session, script)


@pytest.mark.parametrize(
    ("size", "views"),
    [
        (
            SMALL,
            [
                ("bitrate", "rate-dist"),
                ("frame size", "lambda"),
                ("source", "difference"),
                ("bitrate", "rate-dist"),
            ],
        ),
        (LARGE, [("bitrate", "difference"), ("source", "difference"), ("bitrate", "lambda")]),
        ((120, 24), [("bitrate", "rate-dist"), ("frame size", "lambda"), ("source", "difference")]),
    ],
)
def test_v_goes_round_the_views(size: tuple[int, int], views: list[tuple[str, str]]) -> None:
    session = SimulatedEncode(60)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.outcome is Phase.DONE)
        for number, words in enumerate(views):
            text = await look(pilot, screen)
            for word in words:
                assert word in text, number
            await pilot.press("v")

    drive(session, script, size)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_everything_the_issue_lists_is_on_the_screen(size: tuple[int, int]) -> None:
    session = SimulatedEncode(400, hold_at=300)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 300)
        text = await look(pilot, screen)
        for word in (
            "encode pass 2/2", "frame 300/400", "ETA", "frames/s", "× real time", "elapsed", "Mb/s", "target",
            "error", "final file", "LAMBDA", "lowest", "highest", "bits/pixel", "PSNR dB", "worst", "BUFFER",
            "under", "decode", "analysis", "entropy", "synthesis", "mux", "cpu, 2 threads", "bfloat16",
            "p pause", "+ raise", "- lower", "f finish", "q abort", "v view", "t theme", "? help",
        ):  # fmt: skip
            assert word in text, word
        lines = text.splitlines()
        assert len(lines) == size[1]
        assert "frame size" in text or size == SMALL
        session.abort()

    drive(session, script, size)


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (60, 15), (160, 50)])
def test_any_size_of_terminal_is_survived(size: tuple[int, int]) -> None:
    session = SimulatedEncode(60)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.outcome is Phase.DONE)
        for _ in screen.VIEWS:
            await look(pilot, screen)
            await pilot.press("v")
        while not screen.has_class("rates"):
            await pilot.press("v")
        await pilot.resize_terminal(*LARGE)
        assert "rate-distortion" in await look(pilot, screen)

    assert drive(session, script, size).crash is None


def test_notes_of_the_encoder_are_shown() -> None:
    mailbox = Mailbox()
    session = SimulatedEncode(200, hold_at=40)

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        mailbox.publish(Note("left out: a data track"))
        await look(pilot, screen)
        await until(pilot, lambda: "left out: a data track" in read_text(pilot.app))
        session.abort()

    drive(session, script, mailbox=mailbox)


def test_a_crash_of_the_display_leaves_the_encode_running(monkeypatch: pytest.MonkeyPatch) -> None:
    session = SimulatedEncode(200, hold_at=100)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect in a widget")

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await until(pilot, lambda: session.written == 100)
        monkeypatch.setattr("maevid.tui.plot_widget.draw", broken)
        screen.query_one("#rd", PlotWidget).show(Figure("x", Axis("", 0, 1), Axis("", 0, 1)))
        await until(pilot, lambda: pilot.app.crash is not None)

    mailbox = Mailbox()
    with pytest.raises(ZeroDivisionError):
        drive(session, script, mailbox=mailbox)
    session.released.set()
    assert session.wait(5)
    assert session.outcome is Phase.DONE
    assert session.written == 200
    assert mailbox.snapshot().summary.frames == 200


def test_drawing_60000_frames_costs_what_300_cost_and_keeps_no_more() -> None:
    def measure(frames: int) -> tuple[float, int]:
        mailbox = Mailbox()
        mailbox.publish(Totals("a.mp4", "a.mkv", frames, frames / 25, 640, 360, 2e6, "mae", "cpu", "float32"))
        mailbox.publish(PhaseChanged(Phase.ENCODE))
        reports = many()[:frames]
        for report in reports[:-12]:
            mailbox.publish(report)
        costs: list[float] = []
        grown: list[int] = []

        async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
            await look(pilot, screen)
            for number, report in enumerate(reports[-12:]):
                mailbox.publish(report)
                mailbox.publish(Preview(report.index, *pictures(number)))
                start = time.thread_time()
                screen.look()
                await pilot.pause()
                costs.append(time.thread_time() - start)
                if number == 5:
                    tracemalloc.start()
            grown.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()

        drive(_Idle(), script, LARGE, mailbox)
        return sorted(costs[:5])[2], grown[0]

    few, few_bytes = measure(300)
    long, long_bytes = measure(60_000)
    assert long < 3 * few + 0.01, (few, long)
    assert long < 0.25
    assert long_bytes < few_bytes + 6_000_000, (few_bytes, long_bytes)  # the reports themselves take 60 MB


class _Idle(Control):
    """A session that publishes nothing by itself."""

    def start(self, publisher: object) -> None:
        """Nothing to do."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


def test_the_display_is_given_a_share_of_one_core_only() -> None:
    assert next_look(0.001) == TICK
    assert next_look(0.05) == pytest.approx(0.05 / SHARE)
    assert next_look(5.0) == SLOWEST_TICK


def test_a_job_session_runs_a_job_with_its_control_and_keeps_its_end() -> None:
    mailbox = Mailbox()
    began = threading.Event()

    def job(publisher: Mailbox, control: Control) -> int:
        publisher.publish(PhaseChanged(Phase.ENCODE))
        began.set()
        while not control.finishing:
            control.checkpoint(publisher.publish)
            time.sleep(0.001)
        publisher.publish(PhaseChanged(Phase.DONE, detail="closed early"))
        return 7

    session: JobSession[int] = JobSession(job)
    assert not session.wait(0)
    session.start(mailbox)
    assert began.wait(5)
    session.pause()
    end = time.monotonic() + 5
    while not mailbox.snapshot().paused and time.monotonic() < end:
        time.sleep(0.005)
    assert mailbox.snapshot().paused
    assert not session.wait(0.01)
    session.finish_early()
    assert session.wait(5)
    assert session.result() == 7
    assert mailbox.snapshot().detail == "closed early"


def test_a_job_that_dies_is_told_on_the_screen_and_to_the_caller() -> None:
    mailbox = Mailbox()

    def job(publisher: Mailbox, control: Control) -> int:
        raise KeyError("rate")

    session: JobSession[int] = JobSession(job)
    session.start(mailbox)
    assert session.wait(5)
    assert mailbox.snapshot().phase is Phase.FAILED
    assert "KeyError" in mailbox.snapshot().detail
    with pytest.raises(KeyError):
        session.result()


def test_a_target_changed_by_the_encoder_is_drawn_as_a_step() -> None:
    mailbox = Mailbox()
    mailbox.publish(Totals("a.mp4", "a.mkv", 100, 4.0, 640, 360, 2e6))
    mailbox.publish(PhaseChanged(Phase.ENCODE))
    for report in numbers(50):
        mailbox.publish(report)
    mailbox.publish(TargetChanged(4e6))
    mailbox.publish(PauseChanged(True))

    async def script(pilot: Pilot[None], screen: LiveScreen) -> None:
        await look(pilot, screen)
        rows = [number for number, line in enumerate(read_text(pilot.app).splitlines()[3:12]) if "╌╌" in line]
        assert len(rows) == 2

    drive(_Idle(), script, SMALL, mailbox)
