"""The numbers of a running encode as aligned rows, from a snapshot: text here, colour in the widget."""

from __future__ import annotations

from dataclasses import dataclass

from maevid.pipeline.events import Phase
from maevid.tui.mailbox import Snapshot
from maevid.tui.units import NONE, bitrate_unit, clock, decimals, significant, size

WIDTH = 36
_LABEL = 12
_STAGES = ("decode", "analysis", "entropy", "synthesis", "mux")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the panel: label, up to three right-aligned cells, a style word (``head``, ``alarm`` or none)."""

    label: str
    cells: tuple[str, ...] = ()
    style: str = ""

    @property
    def text(self) -> str:
        """The line at full width."""
        return self.label.ljust(_LABEL) + "".join(cell.rjust(8) for cell in self.cells)


def times_real(snapshot: Snapshot) -> tuple[float | None, float | None]:
    """Seconds of clip per second of wall time: (now, average)."""
    summary = snapshot.summary
    if not summary.frames or summary.seconds <= 0:
        return None, None
    frame = summary.seconds / summary.frames
    average = summary.seconds / snapshot.encode_elapsed if snapshot.encode_elapsed > 0 else None
    return (None if snapshot.fps_now is None else snapshot.fps_now * frame), average


def average_fps(snapshot: Snapshot) -> float | None:
    """Frames of the encode pass per second of its wall time."""
    if not snapshot.summary.frames or snapshot.encode_elapsed <= 0:
        return None
    return snapshot.summary.frames / snapshot.encode_elapsed


def eta(snapshot: Snapshot) -> float | None:
    """Seconds to the end of this pass at its average speed; None when the number of frames is unknown."""
    totals = snapshot.totals
    if totals is None or not totals.frames or not snapshot.done or snapshot.phase.final:
        return None
    return max(totals.frames - snapshot.done, 0) * snapshot.phase_elapsed / snapshot.done


def final_bits(snapshot: Snapshot) -> float | None:
    """Expected bits of the video track: exact at the end; before, the rest at the target or the average."""
    summary, totals = snapshot.summary, snapshot.totals
    if snapshot.phase is Phase.DONE:
        return float(summary.bits)
    if totals is None or totals.duration is None or not summary.frames:
        return None
    rest = max(totals.duration - summary.seconds, 0.0)
    if snapshot.target is not None:
        return max(summary.target_bits + snapshot.target * rest, summary.bits)
    average = summary.average_bitrate
    return None if average is None else summary.bits + average * rest


def final_file_bits(snapshot: Snapshot) -> float | None:
    """The same of the whole file, with sound and container; None as long as these are not known."""
    video, beside, summary = final_bits(snapshot), snapshot.beside, snapshot.summary
    if video is None or beside is None:
        return None
    part = 1.0
    if not beside.whole and snapshot.totals is not None and snapshot.totals.duration and summary.seconds > 0:
        part = min(summary.seconds / snapshot.totals.duration, 1.0)
    return video + 8 * beside.bytes / part


def number_rows(snapshot: Snapshot, height: int) -> list[Row]:
    """All rows in ``height`` lines; where it is low with stage times in two lines and no space between."""
    groups = [_speed(snapshot), _rate(snapshot), _quality(snapshot), _buffer(snapshot), _stages(snapshot)]
    if sum(len(group) for group in groups) > height:
        groups[-1] = _stages_compact(snapshot)
    spaced = sum(len(group) + 1 for group in groups) - 1 <= height
    rows: list[Row] = []
    for group in groups:
        rows += [Row("")] if rows and spaced else []
        rows += group
    return rows[:height]


def _speed(s: Snapshot) -> list[Row]:
    now, average = times_real(s)
    return [
        Row("SPEED", ("now", "avg"), "head"),
        Row("frames/s", (decimals(s.fps_now, 1), decimals(average_fps(s), 1))),
        Row("× real time", (decimals(now, 2), decimals(average, 2))),
        Row("elapsed", (clock(s.elapsed), "ETA", clock(eta(s)))),
    ]


def _rate(s: Snapshot) -> list[Row]:
    summary = s.summary
    average = summary.average_bitrate
    unit = bitrate_unit(s.target or average or 1e6)
    error = summary.error
    pixels = summary.pixels
    last = s.last
    return [
        Row("RATE", ("now", "avg", "target"), "head"),
        Row(
            unit.name,
            (unit.text(s.bitrate_now), unit.text(average), unit.text(s.target) if s.target else "none"),
        ),
        Row("error", ("", NONE if error is None else f"{100 * error:+.2f} %")),
        Row(
            "bits/pixel",
            (
                significant(None if last is None else last.bits_per_pixel, 3),
                significant(summary.bits / pixels if pixels else None, 3),
            ),
        ),
        _final(s),
    ]


def _final(s: Snapshot) -> Row:
    whole = final_file_bits(s)
    what = "video" if whole is None else "file"
    label = f"{what} size" if s.phase is Phase.DONE else f"final {what}"
    return Row(label, ("", size(final_bits(s) if whole is None else whole)))


def _quality(s: Snapshot) -> list[Row]:
    summary, last = s.summary, s.last
    known = summary.frames > 0
    rows = [
        Row("LAMBDA", ("now", "lowest", "highest"), "head"),
        Row(
            "λ",
            (
                significant(None if last is None else last.lam),
                significant(summary.lam_low if known else None),
                significant(summary.lam_high if known else None),
            ),
        ),
        Row("PSNR dB", ("now", "avg", "worst"), "head"),
    ]
    measured = summary.psnr_frames > 0 and last is not None
    worst = summary.psnr_worst if measured else None
    now = last.psnr_yuv if last is not None else None
    rows.append(Row("YUV (6:1:1)", (decimals(now, 2), decimals(summary.average_psnr, 2), decimals(worst, 2))))
    planes = last.psnr if last is not None else {}
    rows.append(Row("Y  U  V now", tuple(decimals(planes.get(p), 2) for p in "yuv")))
    return rows


def _buffer(s: Snapshot) -> list[Row]:
    summary, last = s.summary, s.last
    if last is None or last.buffer is None or summary.buffer_low is None:
        return [Row("BUFFER", ("", "", NONE if last is None else "no limit"), "head"), Row("")]
    under = summary.underflows
    return [
        Row("BUFFER", ("now", "lowest", "under"), "head"),
        Row(
            f"{gauge(last.buffer, summary.buffer_low, 8)}{'!' if under else ' '}",
            (f"{100 * last.buffer:.0f} %", f"{100 * summary.buffer_low:.0f} %", str(under)),
            "alarm" if under else "",
        ),
    ]


def gauge(level: float, low: float, width: int) -> str:
    """A bar of ``width`` cells between brackets: full up to the lowest level so far, shaded up to ``level`` (0..1)."""
    filled, lowest = (min(max(round(part * width), 0), width) for part in (level, low))
    return f"[{'█' * lowest}{'▓' * (filled - lowest)}{'░' * (width - filled)}]"


def _stage_means(s: Snapshot) -> dict[str, float]:
    """Milliseconds a frame by stage, in the pipeline's order."""
    times = s.summary.stage_seconds
    names = [n for n in _STAGES if n in times or not times] + [n for n in times if n not in _STAGES]
    return {name: 1000 * times.get(name, 0.0) / max(s.summary.frames, 1) for name in names}


def _stages(s: Snapshot) -> list[Row]:
    means = _stage_means(s)
    whole = sum(means.values())
    rows = [Row("STAGES", ("ms/frame", "share"), "head")]
    for name, ms in means.items():
        share = ms / whole if whole else 0.0
        text = (NONE, NONE) if not s.summary.frames else (decimals(ms, 2), f"{100 * share:.0f} %")
        rows.append(Row(name, (*text, " " + ("▬" * round(share * 7)).ljust(7))))
    return rows


def _stages_compact(s: Snapshot) -> list[Row]:
    means = _stage_means(s)
    items = [f"{name} {decimals(ms, 1) if s.summary.frames else NONE}" for name, ms in means.items()]
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + 2 + len(item) > WIDTH:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + item
    return [Row("STAGES", ("ms/frame",), "head"), *(Row(line) for line in lines[:2])]
