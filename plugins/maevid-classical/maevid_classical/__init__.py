"""Classical picture and video codecs as maevid frame codecs. Nothing in maevid knows of them."""

__version__ = "0.1.0"
