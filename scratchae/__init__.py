"""Autoencoders from scratch: every layer, gradient and kernel written by hand, with the numbers of Keras.

    from scratchae.autoencoders import vanilla
    encoder, decoder, auto = vanilla.autoencoder(784, [128, 64], 32)
    auto.fit(x, x, epochs=10, batch_size=256)

The names follow Keras 3, so that `import scratchae as keras` runs a Keras program that keeps to the layers here.
"""

from . import (
    autoencoders,
    callbacks,
    datasets,
    distributed,
    gradcheck,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from .backend import set_device, set_matmul_precision
from .config import clear_session, floatx, set_floatx, set_random_seed
from .files import ScratchaeFormatError, load, load_model
from .layers import Input
from .model import Model
from .sequential import Sequential

__version__ = "0.1.0"

__all__ = [
    "Input",
    "Model",
    "ScratchaeFormatError",
    "Sequential",
    "autoencoders",
    "callbacks",
    "clear_session",
    "datasets",
    "distributed",
    "floatx",
    "gradcheck",
    "initializers",
    "layers",
    "load",
    "load_model",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "set_device",
    "set_floatx",
    "set_matmul_precision",
    "set_random_seed",
    "utils",
]


def __getattr__(name: str) -> None:
    raise AttributeError(f"scratchae has no {name!r}. Of Keras' names it provides {', '.join(__all__)}")
