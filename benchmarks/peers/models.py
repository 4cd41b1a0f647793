"""The models that all contestants build: shapes, initial weights and data, in NumPy alone."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np

MODELS = "dense", "deep", "sparse", "convolutional", "variational", "recurrent"
UNITS = {  # of the fully connected ones, input to output
    "dense": (784, 32, 784),
    "deep": (784, 128, 64, 32, 64, 128, 784),
    "sparse": (784, 128, 64, 32, 64, 128, 784),
}
CHANNELS = 1, 16, 8, 8, 8, 8, 16, 1  # three convolutions to the code, four back; the last but one is "valid"
TIMESTEPS = 28
LATENT = 32
L1 = 1e-5  # sparse: times sum |code| / batch
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # Adam as Keras has it


def sample_shape(model: str) -> tuple[int, ...]:
    """One sample, channels last."""
    return {"convolutional": (28, 28, 1), "recurrent": (28, 28)}.get(model, (784,))


def weight_shapes(model: str) -> list[tuple[int, ...]]:
    """Keras' order and layouts: (inputs, outputs), (h, w, inputs, outputs), the gates of an LSTM as i, f, g, o."""
    if model in UNITS:
        return [shape for I, O in pairwise(UNITS[model]) for shape in ((I, O), (O,))]
    if model == "convolutional":
        return [shape for C, K in pairwise(CHANNELS) for shape in ((3, 3, C, K), (K,))]
    if model == "variational":
        mean = log_var = [(512, 2), (2,)]
        return [(784, 512), (512,), *mean, *log_var, (2, 512), (512,), (512, 784), (784,)]
    return [shape for D, U in ((28, LATENT), (LATENT, 28)) for shape in ((D, 4 * U), (U, 4 * U), (4 * U,))]


def initial_weights(model: str) -> list[np.ndarray]:
    """Glorot's uniform distribution; biases are random too, so that a comparison would see one that is missing."""
    rng = np.random.default_rng(0)
    limits = [(6 / (prod(shape[:-1]) + shape[-1])) ** 0.5 for shape in weight_shapes(model)]
    return [
        rng.uniform(-limit, limit, shape).astype(np.float32)
        for limit, shape in zip(limits, weight_shapes(model), strict=True)
    ]


def load_images(data: str | None, n: int) -> np.ndarray:
    """n images, float32 (n, 28, 28) in [0, 1]: x_train of an .npz file, or drawn. Repeated where there are fewer."""
    if data is None:
        x = draw_images(min(n, 1000))
    else:
        with np.load(data) as file:
            x = file["x_train"]
    if x.dtype != np.uint8 or x.shape[1:] != (28, 28):
        raise ValueError(f"{data}: x_train is {x.dtype} {x.shape}; expected uint8 (N, 28, 28)")
    return np.resize(x, (n, 28, 28)).astype(np.float32) / 255


def draw_images(n: int) -> np.ndarray:
    """Rings of random place, size and thickness, uint8 (n, 28, 28): like digits, mostly black with grey edges."""
    rng = np.random.default_rng(0)
    row, column, radius, thickness = rng.uniform([10, 10, 4, 1], [17, 17, 9, 2.5], (n, 4)).T[:, :, None, None]
    rows, columns = np.mgrid[:28, :28]
    distance = np.abs(np.hypot(rows - row, columns - column) - radius)
    return np.round(255 * np.clip(thickness + 0.5 - distance, 0, 1)).astype(np.uint8)
