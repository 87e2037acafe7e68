"""CompressAI's image models as maevid codecs, and maevid's networks as CompressAI models."""

__version__ = "0.1.0"
