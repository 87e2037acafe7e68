"""``maeviddec``: one maevid packet a buffer in, raw I420 out."""

from __future__ import annotations

from pathlib import Path

from gi.repository import Gst

from gst_maevid.element import (
    MEDIA_TYPE,
    OWN_FIELDS,
    SIDES,
    VERSION,
    add_pads,
    layout_of,
    renamed,
    template,
    text_property,
    warn,
)
from gst_maevid.raw import Layout
from maevid.access.codecs import Device, shared_codec
from maevid.codec.interface import FrameCodec
from maevid.codec.registry import DEFAULT_CODEC
from maevid.errors import DamagedError, InputError, ModelError
from maevid.stream.packet import Packet


class MaevidDec(Gst.Element):
    """Decodes every packet on its own: a damaged one costs its picture, and a warning."""

    __gtype_name__ = "GstMaevidDec"
    __gstmetadata__ = ("maevid decoder", "Codec/Decoder/Video", "Decodes every picture on its own", "maevid")
    __gsttemplates__ = (
        template("sink", Gst.PadDirection.SINK, f"{MEDIA_TYPE},{SIDES}"),
        template("src", Gst.PadDirection.SRC, f"video/x-raw,format=(string)I420,{SIDES}"),
    )

    device = text_property("auto", "Where pictures are decoded: auto, cpu, cuda or cuda:N")
    weights = text_property("", "A model file in place of the codec's own")

    failure = Gst.StreamError.DECODE

    def __init__(self) -> None:
        super().__init__()
        add_pads(self)
        self._place = Device("cpu")
        self._codec: FrameCodec | None = None
        self._layout: Layout | None = None

    def start(self, caps: Gst.Caps) -> Gst.Caps:
        """Open the codec that the caps name. Raises ModelError where it has other weights than the encoder's."""
        structure = caps.get_structure(0)
        version = structure.get_value("version") if structure.has_field("version") else VERSION
        if version > VERSION:
            raise InputError(f"the stream has format version {version}, this maevid reads version {VERSION}")
        self._place = Device(self.device)
        name = structure.get_string("codec") or DEFAULT_CODEC
        codec = shared_codec(name, self._place, "auto", Path(self.weights) if self.weights else None)
        model = structure.get_string("model")
        if model is not None and model != codec.identity.hex():
            raise ModelError(
                f"the stream was made with weights {model}, but {name} here has {codec.identity.hex()}: "
                "set the property weights to the encoder's model file"
            )
        raw = renamed(caps, "video/x-raw", format="I420", **dict.fromkeys(OWN_FIELDS))
        self._codec, self._layout = codec, layout_of(raw)
        return raw

    def take(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        """Decode a packet; its picture has the buffer's times, which seeks and joins may have moved."""
        codec, layout = self._codec, self._layout
        if codec is None or layout is None:
            raise InputError("a packet came before its format: maeviddec needs the caps of maevidenc")
        try:
            packet = Packet.from_bytes(buffer.extract_dup(0, buffer.get_size()))
            if (packet.width, packet.height) != (layout.width, layout.height):
                raise DamagedError(
                    f"the packet's picture is {packet.width}x{packet.height}, the stream's are "
                    f"{layout.width}x{layout.height}"
                )
            with self._place.selected():
                planes = codec.decode(packet)
        except DamagedError as error:
            warn(self, DamagedError(f"a picture was left out: {error}"))
            return Gst.FlowReturn.OK
        picture = Gst.Buffer.new_wrapped(layout.buffer(planes))
        picture.pts, picture.duration = buffer.pts, buffer.duration
        return self.srcpad.push(picture)

    def drain(self) -> Gst.FlowReturn:
        """Nothing is held back."""
        return Gst.FlowReturn.OK

    def reset(self) -> None:
        """Nothing is held back."""
