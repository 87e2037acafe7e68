"""A recorded statistics file (JSON lines) as the third source: all numbers and plots, no pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from maevid.errors import InputError
from maevid.report import FrameReport
from maevid.report_io import read_recording
from maevid.tui.session import FactGroup, FloatArray, FramePicture


class RecordedSession:
    """An :class:`~maevid.tui.session.InspectSession` over the file at ``path``.

    A record of type ``clip`` may hold ``target_bitrate`` (bits per second). Raises InputError when the file
    cannot be read or tells of no frame.
    """

    def __init__(self, path: Path) -> None:
        self._recording = read_recording(path)
        if not self._recording.reports:
            raise InputError(f"{path} holds no frame reports")
        self._path = path

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.name

    @property
    def reports(self) -> Sequence[FrameReport]:
        """The frames, in presentation order."""
        return self._recording.reports

    @property
    def target_bitrate(self) -> float | None:
        """From the ``clip`` record."""
        target = self._recording.record("clip").get("target_bitrate")
        return float(target) if isinstance(target, int | float) and target > 0 else None

    @property
    def checkable(self) -> bool:
        """False: there are no packets."""
        return False

    def check(self, index: int) -> str:
        """Never asked."""
        raise IndexError(index)

    def facts(self) -> Sequence[FactGroup]:
        """Every record that is no frame, as text."""
        return [FactGroup(str(record["type"]), _facts(record)) for record in self._recording.records]

    def picture(self, index: int) -> FramePicture | None:
        """None: a recording holds numbers only."""
        del index
        return None

    def block_bits(self, index: int) -> FloatArray | None:
        """None: a recording holds numbers only."""
        del index
        return None

    def close(self) -> None:
        """Nothing is held open."""


def _facts(record: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((key.replace("_", " "), str(value)) for key, value in record.items() if key != "type")
