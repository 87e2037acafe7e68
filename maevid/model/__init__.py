"""The networks: modulation, transforms, priors on integer layers, checkpoints and the shipped weights."""
