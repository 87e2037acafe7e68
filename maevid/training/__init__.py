"""Training of the networks: pictures, loss, optimizers, the loop and its record."""
