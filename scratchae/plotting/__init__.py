"""Pictures. Each function returns a matplotlib Figure and never shows it; matplotlib is imported when it is called.

    plotting.latent_grid(decoder).savefig("plane.png", dpi=150)

`images` has what comes out of an autoencoder, `latent` the codes and what lies between them, `units` weights and
activations, `curves` lines over epochs and over time.
"""

from .common import COLOUR_MAP
from .curves import loss_curves, sequences
from .images import denoising, reconstructions
from .latent import interpolation, latent_grid, latent_scatter
from .units import activation_histogram, filters

__all__ = [
    "COLOUR_MAP",
    "activation_histogram",
    "denoising",
    "filters",
    "interpolation",
    "latent_grid",
    "latent_scatter",
    "loss_curves",
    "reconstructions",
    "sequences",
]
