"""Noise for denoising autoencoders: train with fit(corrupt(x), x)."""

from __future__ import annotations

import numpy as np

from .. import checks


def corrupt(x: np.ndarray, kind: str = "gaussian", amount: float = 0.5, seed: int | None = None) -> np.ndarray:
    """A noisy copy of data in [0, 1] (Vincent et al. 2010, section 3.3).

    Args:
        x: floats in [0, 1], any shape; divide bytes by 255 first.
        kind: "gaussian" adds noise of standard deviation `amount` and clips to [0, 1]; "masking" sets a fraction
            `amount` of the elements to 0; "salt_and_pepper" sets that fraction to 0 or 1, half each.
        amount: see kind; a fraction must be at most 1.
        seed: for the same noise again; None draws other noise each time.

    Returns:
        An array of x's shape and float type. Raises TypeError for integers, ValueError for data outside [0, 1].
    """
    checks.one_of("corrupt", "kind", kind, ("gaussian", "masking", "salt_and_pepper"))
    amount = checks.number("corrupt", "amount", amount, low=0, high=np.inf if kind == "gaussian" else 1)
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise TypeError(
            f"corrupt: x is of type {x.dtype}; expected floats in [0, 1], such as x.astype('float32') / 255"
        )
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"corrupt: x lies in [{x.min():g}, {x.max():g}]; expected [0, 1], such as x / 255 for images")
    rng = np.random.default_rng(seed)
    if kind == "gaussian":
        noise = rng.standard_normal(x.shape, np.float32)
        return np.clip(x + amount * noise, 0, 1).astype(x.dtype)
    chance = rng.random(x.shape, np.float32)
    if kind == "masking":
        return np.where(chance < amount, 0, x).astype(x.dtype)
    return np.where(chance < amount / 2, 0, np.where(chance < amount, 1, x)).astype(x.dtype)
