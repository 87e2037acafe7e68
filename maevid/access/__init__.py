"""Frames where Python programs want them: random access as arrays or tensors, writing, and data sets for training."""
