"""What the two elements share: a pad on either side, events kept in their order, and errors as one line on the bus."""

from __future__ import annotations

from typing import Any, Protocol

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")

from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402

from gst_maevid.raw import Layout  # noqa: E402
from maevid.errors import MaevidError  # noqa: E402

MEDIA_TYPE = "video/x-maevid"
OWN_FIELDS = ("version", "codec", "model", "weights")
"""What the caps of a coded stream have beside those of its pictures."""
VERSION = 1
SIDES = "width=(int)[1,65535],height=(int)[1,65535],framerate=(fraction)[0,max]"


def template(name: str, direction: Gst.PadDirection, caps: str) -> Gst.PadTemplate:
    """A pad that is always there."""
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(caps))


def text_property(default: str, blurb: str) -> Any:
    """A property that is a text and is looked at when caps arrive."""
    return GObject.Property(type=str, default=default, blurb=blurb, flags=GObject.ParamFlags.READWRITE)


def layout_of(caps: Gst.Caps) -> Layout:
    """Where the samples lie in buffers of these raw caps."""
    info = GstVideo.VideoInfo.new_from_caps(caps)
    return Layout.of(info.width, info.height, info.stride, info.offset, info.size)


def renamed(caps: Gst.Caps, name: str, **values: Any) -> Gst.Caps:
    """The first structure of ``caps`` under another name and with other values; None takes a field out."""
    structure = caps.get_structure(0).copy()
    structure.set_name(name)
    for field, value in values.items():
        if value is None:
            structure.remove_field(field)
        else:
            structure.set_value(field, value)
    changed = Gst.Caps.new_empty()
    changed.append_structure(structure)
    return changed


class Work(Protocol):
    """An element and what it does; whatever this raises ends on the bus as one error message.

    ``failure`` is what its messages count as.
    """

    sinkpad: Gst.Pad
    srcpad: Gst.Pad
    failure: Gst.StreamError

    def start(self, caps: Gst.Caps) -> Gst.Caps:
        """Buffers of these caps follow: returns the caps of what comes of them."""

    def take(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        """A buffer has come."""

    def drain(self) -> Gst.FlowReturn:
        """Push all that is held back; buffers may follow."""

    def reset(self) -> None:
        """Forget all that is held back."""


def add_pads(element: Any) -> None:
    """Give an element its pads, as ``sinkpad`` and ``srcpad``.

    Their functions are not methods: a pad that held its element would keep it from ever being freed. Nor is there a
    class of elements between Gst.Element and the two: PyGObject runs ``__init__`` while an element still is of that
    class, which has no templates.
    """
    element.sinkpad = Gst.Pad.new_from_template(element.get_pad_template("sink"), "sink")
    element.srcpad = Gst.Pad.new_from_template(element.get_pad_template("src"), "src")
    element.sinkpad.set_chain_function_full(_chain)
    element.sinkpad.set_event_function_full(_event)
    element.add_pad(element.sinkpad)
    element.add_pad(element.srcpad)


def warn(element: Work, error: MaevidError) -> None:
    """One line on the bus; the pipeline goes on."""
    _post(element, Gst.Message.new_warning, error, str(error))


def _chain(_pad: Gst.Pad, element: Work, buffer: Gst.Buffer) -> Gst.FlowReturn:
    try:
        return element.take(buffer)
    except Exception as error:
        # One that left here would be printed, and count as success.
        _fail(element, error)
        return Gst.FlowReturn.ERROR


def _event(pad: Gst.Pad, element: Work, event: Gst.Event) -> bool:
    try:
        if event.type == Gst.EventType.FLUSH_STOP:
            element.reset()
        elif Gst.event_type_get_flags(event.type) & Gst.EventTypeFlags.SERIALIZED:
            # It must not overtake the pictures before it.
            element.drain()
        if event.type == Gst.EventType.CAPS:
            caps = element.start(event.parse_caps())
            return bool(element.srcpad.push_event(Gst.Event.new_caps(caps)))
    except Exception as error:
        _fail(element, error)
        return False
    return bool(pad.event_default(element, event))


def _fail(element: Work, error: Exception) -> None:
    known = isinstance(error, MaevidError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    _post(element, Gst.Message.new_error, error, text)


def _post(element: Any, make: Any, error: Exception, text: str) -> None:
    line = GLib.Error.new_literal(Gst.StreamError.quark(), " ".join(text.split()), int(element.failure))
    element.post_message(make(element, line, type(error).__name__))
