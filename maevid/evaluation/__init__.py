"""Codecs side by side on the same pictures: true bytes, distortion, time, BD-rate, tables and plots."""
