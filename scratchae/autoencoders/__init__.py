"""The autoencoders: each file has `autoencoder(...)`, which returns (encoder, decoder, auto), auto compiled."""

from . import convolutional, recurrent, sparse, vanilla, variational

__all__ = ["convolutional", "recurrent", "sparse", "vanilla", "variational"]
