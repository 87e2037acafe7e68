"""Compress and decompress: the steps of DESIGN's data flow, driven frame by frame."""
