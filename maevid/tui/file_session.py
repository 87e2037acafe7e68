"""A maevid file as a source of the inspect screen."""

from __future__ import annotations

from collections.abc import Sequence

from maevid.pipeline.inspection import Inspection
from maevid.report import FrameReport
from maevid.tui.session import FactGroup, FloatArray, FramePicture


class FileSession:
    """An :class:`~maevid.tui.session.InspectSession` around an :class:`~maevid.pipeline.inspection.Inspection`."""

    checkable = True
    target_bitrate: float | None = None

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection

    @property
    def name(self) -> str:
        """The file's name."""
        return self._inspection.path.name

    @property
    def reports(self) -> Sequence[FrameReport]:
        """Every frame, with PSNR where the source was given."""
        return self._inspection.reports

    def facts(self) -> Sequence[FactGroup]:
        """Stream, weights, tags, tracks, metadata."""
        facts = self._inspection.facts
        stream = (
            ("picture", f"{facts.width}x{facts.height}"),
            ("frames", str(facts.frames)),
            ("frame rate", facts.frame_rate or "variable or unknown"),
            ("time base", facts.time_base),
            ("file bytes", str(facts.file_bytes)),
            ("video bytes", str(facts.video_bytes)),
            ("largest packet", str(facts.largest_packet)),
            ("rotation", f"{facts.rotation}°"),
            ("sample aspect", facts.sample_aspect_ratio),
            ("cut short", "yes" if facts.truncated else "no"),
            ("damaged frames", str(facts.damaged)),
        )
        codec = (
            ("codec", facts.codec or "unknown"),
            ("weights", facts.weights or "unknown"),
            ("runs on", self._inspection.codec.description),
        )
        tracks = tuple((t.kind, f"{t.codec} {t.language} {t.title}".strip()) for t in facts.tracks)
        groups = [FactGroup("stream", stream), FactGroup("codec", codec)]
        for title, rows in (
            ("other tracks", tracks),
            ("tags", tuple(facts.tags.items())),
            ("metadata", tuple(facts.metadata.items())),
        ):
            if rows:
                groups.append(FactGroup(title, rows))
        return groups

    def check(self, index: int) -> str:
        """What is wrong with the packet, empty when it is good."""
        return self._inspection.check(index)

    def picture(self, index: int) -> FramePicture | None:
        """The decoded frame, beside the source's where that was given."""
        planes = self._inspection.picture(index)
        facts = self._inspection.facts
        return FramePicture(
            planes, self._inspection.source(index), facts.color, self._inspection.pixel_aspect
        )

    def block_bits(self, index: int) -> FloatArray | None:
        """Bits of each 16×16 block."""
        return self._inspection.block_bits(index)

    def close(self) -> None:
        """Release the files."""
        self._inspection.close()
