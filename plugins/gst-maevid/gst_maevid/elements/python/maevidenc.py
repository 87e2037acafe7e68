"""What GStreamer's loader of Python plugins imports for ``maevidenc``."""

from gi.repository import Gst
from gst_maevid.encoder import MaevidEnc

__gstelementfactory__ = ("maevidenc", Gst.Rank.NONE, MaevidEnc)
