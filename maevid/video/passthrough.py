"""Audio, subtitles, attachments, chapters and metadata carried across, bytes untouched."""

from __future__ import annotations

import io
from typing import cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition, Stream

from maevid.video.rates import rescale, time_base
from maevid.video.subtitles import MOV_TEXT, SUBRIP, subrip_text

# Open every output with these ``container_options``.
MUXER_OPTIONS = {
    # FFmpeg would move all streams up when one of them starts below zero, as audio with encoder delay does:
    # video would come out 69 ms late with one of our clips.
    "avoid_negative_ts": "disabled",
    # It would hold back ten seconds of pictures until the next subtitle comes; in microseconds.
    "max_interleave_delta": "1000000",
}

_COPIED = ("audio", "subtitle")
_MUXER_OWN = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands"})


class PassThrough:
    """Copies every audio, subtitle and attachment stream of ``source`` to ``output`` without re-encoding.

    Make it after the output's video stream was added and before anything is muxed: it adds one stream to
    ``output`` for each stream that the container can hold, with codec parameters, metadata (language,
    title) and disposition. Attachments (fonts) need nothing more; for the others hand each packet of
    ``source`` for which :meth:`wants` is true to :meth:`mux`. Payloads stay bit by bit; times are rounded
    to the output's unit (Matroska: 1 ms). The one exception is MP4's text subtitles, which Matroska holds
    as SubRip: their text is kept.

    ``skipped`` names, for people, every stream of ``source`` that stays behind, and why.
    ``video_index`` is the index in ``source.streams`` of the video stream that someone else codes.
    """

    def __init__(self, source: InputContainer, video_index: int, output: OutputContainer) -> None:
        self.skipped: list[str] = []
        self._output = output
        # Matroska lets packets share a time (subtitle lines do); most others want every one later.
        shared_times = output.format.flags & cast(int, Flags.ts_nonstrict.value)
        self._least_step = 0 if shared_times else 1
        self._streams: dict[int, Stream] = {}
        self._subrip: set[int] = set()
        self._last_dts: dict[int, int] = {}
        self._next: dict[int, int] = {}
        for stream in source.streams:
            if stream.index == video_index:
                continue
            obstacle = _obstacle(stream, output)
            if obstacle:
                self.skipped.append(f"{stream_label(stream)} ({obstacle})")
                continue
            if _becomes_subrip(stream, output):
                copy = output.add_mux_stream(SUBRIP)
                self._subrip.add(stream.index)
            else:
                copy = output.add_stream_from_template(stream)
            copy.metadata.update(_own_metadata(stream))
            copy.disposition = stream.disposition
            if stream.type in _COPIED:
                self._streams[stream.index] = copy

    def wants(self, packet: Packet[Stream]) -> bool:
        """Whether ``packet`` (of ``source``) is of a copied stream; false for the demuxer's flush
        packets."""
        return packet.stream_index in self._streams and (packet.size > 0 or packet.pts is not None)

    def mux(self, packet: Packet[Stream]) -> None:
        """Write one packet to the output. It is changed (stream, time base) and must not be used again.

        A packet without times follows its predecessor. A decoding time that runs backwards, which muxers
        refuse, is moved up to its predecessor's. The header is written by the first call.
        """
        self._output.start_encoding()
        index = packet.stream_index
        copy = self._streams[index]
        source_unit, unit = time_base(packet), time_base(copy)
        start = packet.pts if packet.pts is not None else packet.dts
        if start is None:
            start = self._next.get(index, 0)
        pts = packet.pts if packet.pts is not None else start
        dts = packet.dts if packet.dts is not None else start
        duration = packet.duration or 0
        self._next[index] = pts + duration
        out_dts = rescale(dts, source_unit, unit)
        if index in self._last_dts:
            out_dts = max(out_dts, self._last_dts[index] + self._least_step)
        self._last_dts[index] = out_dts
        if index in self._subrip:
            text = subrip_text(bytes(packet))
            if not text:
                return
            packet = av.Packet(text)
            packet.is_keyframe = True
        packet.stream = copy
        packet.time_base = unit
        packet.pts = max(rescale(pts, source_unit, unit), out_dts)
        packet.dts = out_dts
        packet.duration = rescale(duration, source_unit, unit)
        self._output.mux_one(packet)


def copy_chapters_and_metadata(source: InputContainer, output: OutputContainer) -> None:
    """Give ``output`` the chapters and global metadata of ``source``; call it before anything is muxed.

    Left out is what belongs to the source's container itself (MP4 brands, the muxer's name). Entries that
    ``output`` already has are kept.
    """
    for key, value in source.metadata.items():
        if key.lower() not in _MUXER_OWN:
            output.metadata.setdefault(key, value)
    chapters = source.chapters()
    if chapters:
        output.set_chapters(chapters)


def stream_label(stream: Stream) -> str:
    """What to call a stream in a message to people: type, number, codec and language."""
    # PyAV's streams without a decoder have no name at all, attachments and data streams excepted.
    codec = stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
    details = [part for part in (codec, stream.language) if part and part != "und"]
    return f"{stream.type} stream {stream.index}" + (f" [{', '.join(details)}]" if details else "")


def _obstacle(stream: Stream, output: OutputContainer) -> str | None:
    """Why ``output`` cannot carry a copy of ``stream``; None when it can."""
    if stream.type == "video":
        is_picture = Disposition.attached_pic in stream.disposition
        return "a cover picture" if is_picture else "only one video stream is coded"
    if stream.type not in (*_COPIED, "attachment"):
        return "its kind cannot be copied"
    if stream.type == "attachment" and output.format.name != "matroska":
        return f"{output.format.name} takes no attachments"
    if stream.type in _COPIED and stream.codec_context is None:
        return "its codec is unknown"
    if _becomes_subrip(stream, output) or _is_taken(stream, output):
        return None
    return f"{output.format.name} cannot hold this codec"


def _is_taken(stream: Stream, output: OutputContainer) -> bool:
    """Whether the muxer of ``output`` takes a copy of ``stream``."""
    # Only the muxer itself knows what it takes, and it says so when the header is written: try in memory.
    try:
        with av.open(io.BytesIO(), "w", format=output.format.name) as trial:
            copy = trial.add_stream_from_template(stream)
            copy.metadata.update(_own_metadata(stream))
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _becomes_subrip(stream: Stream, output: OutputContainer) -> bool:
    """Whether ``stream`` holds MP4 text for an output that knows SubRip only."""
    is_mov_text = stream.codec_context is not None and stream.codec_context.name == MOV_TEXT
    return is_mov_text and output.format.name == "matroska"


def _own_metadata(stream: Stream) -> dict[str, str]:
    """The stream's metadata without the durations that a Matroska muxer measures and writes itself."""
    return {key: value for key, value in stream.metadata.items() if not key.upper().startswith("DURATION")}
