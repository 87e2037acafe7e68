"""The bitstream: packets, and the Matroska files that hold them."""
