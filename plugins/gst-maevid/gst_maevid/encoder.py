"""``maevidenc``: raw I420 in, one maevid packet a buffer out."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from gi.repository import GObject, Gst

from gst_maevid.element import (
    MEDIA_TYPE,
    SIDES,
    VERSION,
    add_pads,
    layout_of,
    renamed,
    template,
    text_property,
)
from gst_maevid.live import LiveEncoder, Target
from gst_maevid.raw import Layout
from maevid.access.codecs import Device, shared_codec
from maevid.codec.interface import FrameCodec
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import InputError
from maevid.stream.packet import Packet
from maevid.video.frame import Frame

NANOSECOND = Fraction(1, 1_000_000_000)
_LIVE = GObject.ParamFlags.READWRITE | Gst.PARAM_MUTABLE_PLAYING
_LARGEST = 2**31 - 1


class MaevidEnc(Gst.Element):
    """Codes every picture on its own, in one pass, at a bitrate or a quality that may change while it plays."""

    __gtype_name__ = "GstMaevidEnc"
    __gstmetadata__ = ("maevid encoder", "Codec/Encoder/Video", "Codes every picture on its own", "maevid")
    __gsttemplates__ = (
        template("sink", Gst.PadDirection.SINK, f"video/x-raw,format=(string)I420,{SIDES}"),
        template("src", Gst.PadDirection.SRC, f"{MEDIA_TYPE},{SIDES}"),
    )

    bitrate = GObject.Property(
        type=GObject.TYPE_UINT,
        minimum=0,
        maximum=_LARGEST,
        default=0,
        blurb="Bits a second to aim at; 0: the same quality for every picture",
        flags=_LIVE,
    )
    quality = GObject.Property(
        type=float,
        minimum=0.0,
        maximum=100.0,
        default=50.0,
        blurb="Quality of every picture where no bitrate is given",
        flags=_LIVE,
    )
    codec = text_property(DEFAULT_CODEC, "A registered codec")
    device = text_property("auto", "Where pictures are coded: auto, cpu, cuda or cuda:N")
    weights = text_property("", "A model file in place of the codec's own")

    failure = Gst.StreamError.ENCODE

    def __init__(self) -> None:
        super().__init__()
        add_pads(self)
        self._layout: Layout | None = None
        self._place = Device("cpu")
        self._codec: FrameCodec | None = None
        self._encoder: LiveEncoder | None = None
        self._gap = 0
        self._next_pts = 0
        self._last_pts = -1
        self.srcpad.set_query_function_full(_query)

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Nothing is held back in a pipeline that does not run."""
        result = Gst.Element.do_change_state(self, transition)
        if transition == Gst.StateChange.PAUSED_TO_READY:
            self.reset()
        return result

    def start(self, caps: Gst.Caps) -> Gst.Caps:
        """Open the codec; the caps tell everything of the pictures, and who can decode them."""
        self._place = Device(self.device)
        codec = shared_codec(self.codec, self._place, "auto", Path(self.weights) if self.weights else None)
        self._layout, self._codec, self._encoder = layout_of(caps), codec, None
        known, pictures, seconds = caps.get_structure(0).get_fraction("framerate")
        self._gap = Gst.SECOND * seconds // pictures if known and pictures else 0
        return renamed(
            caps,
            MEDIA_TYPE,
            format=None,
            version=VERSION,
            codec=codec.name,
            model=codec.identity.hex(),
            weights=codec.sha256 or None,
        )

    def take(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        """Code a picture; those that the rate control looks ahead to come out later."""
        frame = self._frame(buffer)
        target = Target(self.bitrate, 0.0 if self.bitrate else self.quality)
        encoder = self._encoder
        if encoder is not None and not (frame.pts > self._last_pts and encoder.retarget(target)):
            # Time has gone back, or it is another kind of target: the old one's pictures go first.
            flow = self.drain()
            if flow != Gst.FlowReturn.OK:
                return flow
            encoder = None
        if encoder is None:
            encoder = self._encoder = self._opened(target)
        self._last_pts = frame.pts
        return self._push(encoder.push(frame))

    def drain(self) -> Gst.FlowReturn:
        """Code the pictures held back."""
        return Gst.FlowReturn.OK if self._encoder is None else self._push(self._encoder.finish())

    def reset(self) -> None:
        """Forget pictures held back, and how the rate stood."""
        self._encoder = None
        self._next_pts = 0

    def _opened(self, target: Target) -> LiveEncoder:
        if self._codec is None:
            raise InputError("a picture came before its format")
        encoder = LiveEncoder(self._codec, self._place, target)
        self.post_message(Gst.Message.new_latency(self))
        return encoder

    def _frame(self, buffer: Gst.Buffer) -> Frame:
        if self._layout is None:
            raise InputError("a picture came before its format")
        mapped, memory = buffer.map(Gst.MapFlags.READ)
        if not mapped:
            raise InputError("a picture's memory cannot be read")
        try:
            planes = self._layout.planes(memory.data)
        finally:
            buffer.unmap(memory)
        timed, long = buffer.pts != Gst.CLOCK_TIME_NONE, buffer.duration != Gst.CLOCK_TIME_NONE
        if not timed and not self._gap:
            raise InputError("a picture has no time, and the stream no frame rate to number it by")
        pts = buffer.pts if timed else self._next_pts
        duration = buffer.duration if long else self._gap
        self._next_pts = pts + (duration or self._gap)
        return Frame(*planes, pts, NANOSECOND, duration)

    def _push(self, packets: Iterable[Packet]) -> Gst.FlowReturn:
        for packet in packets:
            buffer = Gst.Buffer.new_wrapped(packet.to_bytes())
            buffer.pts = packet.pts
            buffer.dts = packet.pts
            buffer.duration = packet.duration or Gst.CLOCK_TIME_NONE
            flow = self.srcpad.push(buffer)
            if flow != Gst.FlowReturn.OK:
                return flow
        return Gst.FlowReturn.OK

    def answer_latency(self, query: Gst.Query) -> bool:
        """What the elements before this one need, and the pictures that it holds back itself."""
        if not self.sinkpad.peer_query(query):
            return False
        live, least, most = query.parse_latency()
        own = 0 if self._encoder is None else self._encoder.delay * self._gap
        query.set_latency(live, least + own, most if most == Gst.CLOCK_TIME_NONE else most + own)
        return True


def _query(pad: Gst.Pad, element: MaevidEnc, query: Gst.Query) -> bool:
    if query.type == Gst.QueryType.LATENCY:
        return element.answer_latency(query)
    return bool(pad.query_default(element, query))
