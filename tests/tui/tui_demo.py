"""Runs the real app in the terminal at hand: ``python tui_demo.py live|crash|inspect|recording PATH [FRAMES]``.

``PATH`` gets a line on how the simulated encode ended (``recording``: is the file shown). Also good to look at by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tui_simulated import SimulatedEncode, SimulatedFile

from maevid.errors import MaevidError
from maevid.tui.app import run_inspect, run_live
from maevid.tui.plot_widget import PlotWidget
from maevid.tui.replay import RecordedSession


def main() -> int:
    mode, path = sys.argv[1], Path(sys.argv[2])
    frames = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    try:
        if mode == "inspect":
            run_inspect(SimulatedFile(), path.parent)
        elif mode == "recording":
            run_inspect(RecordedSession(path))
        else:
            session = SimulatedEncode(frames, pace=0.01)
            if mode == "crash":
                draw = PlotWidget.render_line

                def broken(self: PlotWidget, y: int) -> object:
                    if session.written > 30:
                        raise ZeroDivisionError("a defect in a widget")
                    return draw(self, y)

                PlotWidget.render_line = broken  # type: ignore[method-assign,assignment]
            last = run_live(session)
            text = f"{session.outcome} {session.written} {last.summary.frames} {' '.join(session.log)}\n"
            path.write_text(text, encoding="utf-8")
    except MaevidError as error:
        print(f"maevid: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
