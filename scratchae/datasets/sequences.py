"""Sequences made from known parameters, for the recurrent autoencoder: does its code find them again?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import checks

SLOWEST, FASTEST = 0.5, 4.0  # cycles in a whole sequence
WEAKEST = 0.2  # the smallest amplitude, as a fraction of the largest possible


class Parameters(NamedTuple):
    """What made the sequences: amplitudes, frequencies and phases, float64 (n, components) each."""

    amplitudes: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray


def sines(
    n: int, timesteps: int, features: int, components: int = 2, noise: float = 0.0, seed: int | None = None
) -> tuple[np.ndarray, Parameters]:
    """Sums of sine waves, and the parameters of each sum.

        x[i, t, f] = sum over k of a[i, k] sin(2 pi v[i, k] t / timesteps + p[i, k] + pi f / features) + noise

    t = 0 ... timesteps - 1. Amplitudes a are uniform in [0.2, 1) / components, phases p in [0, 2 pi), frequencies v,
    in cycles a sequence, in [0.5, 4), or up to half of timesteps if that is less. The components of a sequence stand
    in the order of their frequencies, so that equal sequences have equal parameters. Features are the same waves,
    shifted: 3 * components numbers describe a sequence, however many features it has.

    Args:
        n: sequences.
        timesteps: the length of each.
        features: values at each step.
        components: waves in each sum.
        noise: standard deviation of the Gaussian noise that is added to each value.
        seed: for the same sequences again; None draws others each time.

    Returns:
        x, parameters: float32 (n, timesteps, features), in (-1, 1), where noise is clipped to that range; and
        amplitudes, frequencies, phases, each (n, components). The noise is drawn last: with one seed, the parameters
        are the same at any noise. Raises TypeError or ValueError, which name the argument.
    """
    n = checks.positive_integer("sines", "n", n)
    timesteps = checks.positive_integer("sines", "timesteps", timesteps)
    features = checks.positive_integer("sines", "features", features)
    components = checks.positive_integer("sines", "components", components)
    noise = checks.number("sines", "noise", noise, low=0)
    rng = np.random.default_rng(seed)
    amplitudes = rng.uniform(WEAKEST, 1, (n, components)) / components
    frequencies = np.sort(rng.uniform(SLOWEST, min(FASTEST, timesteps / 2), (n, components)), axis=1)
    phases = rng.uniform(0, 2 * np.pi, (n, components))

    time = 2 * np.pi * np.arange(timesteps)[:, None] / timesteps  # (timesteps, 1)
    shift = np.pi * np.arange(features) / features  # (features,)
    x = np.zeros((n, timesteps, features))
    for a, v, p in zip(amplitudes.T, frequencies.T, phases.T, strict=True):  # one component of all sequences
        a, v, p = a[:, None, None], v[:, None, None], p[:, None, None]
        x += a * np.sin(v * time + p + shift)
    if noise:
        x += noise * rng.standard_normal(x.shape)
    edge = np.nextafter(np.float32(1), np.float32(0))  # the last float32 before 1
    return np.clip(x, -edge, edge).astype(np.float32), Parameters(amplitudes, frequencies, phases)
