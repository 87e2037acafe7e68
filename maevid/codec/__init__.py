"""Frame codecs: the interface, the registry of installed ones, and the MAE itself."""
