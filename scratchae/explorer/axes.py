"""The axes of a latent space: its dimensions, and the principal components of the codes in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .architecture import Arrays

MOST_AXES = 32  # as many are offered, each but two with a slider
WITHOUT_CODES = (-3.0, 3.0)  # where nearly all of N(0, 1) lies, from which a variational model's codes come
MARGIN = 0.05  # of the codes' range, around them


def systems(codes: np.ndarray | None, latent_shape: tuple[int, ...], arrays: Arrays) -> list[dict[str, Any]]:
    """Systems of axes, perpendicular to each other, the one to begin with first.

    A code c has the coordinate v . (c - origin) on an axis of direction v. Each system tells its axes and which two of
    them are to be the plane. Of more than two dimensions two show little; the first two principal components (Pearson
    1901), through the mean of the codes, show as much of their variance as a plane can.

    Args:
        codes: (N, D), or None.
        latent_shape: of a code in the model, with D numbers.
    """
    found = [dimensions(codes, latent_shape)]
    D = int(np.prod(latent_shape))
    if codes is not None and D > 2:
        components = principal_components(codes, arrays)
        if components:
            found.insert(0, components)
    return found


def dimensions(codes: np.ndarray | None, latent_shape: tuple[int, ...]) -> dict[str, Any]:
    """The dimensions of the code; of more than MOST_AXES those in which the codes differ most."""
    D = int(np.prod(latent_shape))
    spread = np.ones(D) if codes is None else codes.std(axis=0)
    widest = np.argsort(-spread, kind="stable")
    axes = []
    for d in sorted(widest[:MOST_AXES].tolist()):
        place = ", ".join(str(i) for i in np.unravel_index(d, latent_shape))
        name = f"z{d + 1}" if len(latent_shape) == 1 else f"z[{place}]"
        axes.append({"name": name, "dimension": d, "range": WITHOUT_CODES if codes is None else limits(codes[:, d])})
    plane = [i for i, axis in enumerate(axes) if axis["dimension"] in widest[:2]]
    return {"name": "dimensions of the code", "origin": None, "axes": axes, "plane": plane}


def principal_components(codes: np.ndarray, arrays: Arrays) -> dict[str, Any] | None:
    """The principal components with the most variance; None if the codes lie on a line or are too few for a plane."""
    mean = codes.mean(axis=0)
    variances, directions = eigenvectors(codes - mean)
    shares = variances / (variances.sum() or 1)
    count = min(int((shares > 1e-10 * shares[0]).sum()), MOST_AXES)
    if count < 2:
        return None
    axes = []
    for k, direction in enumerate(directions[:count]):
        direction = direction * np.sign(direction[np.abs(direction).argmax()])  # arbitrary: the largest entry positive
        axes.append(
            {
                "name": f"component {k + 1}",
                "note": f"{shares[k]:.1%} of the variance",
                "direction": arrays.add(direction),
                "range": limits((codes - mean) @ direction),
            }
        )
    return {"name": "principal components", "origin": arrays.add(mean), "axes": axes, "plane": [0, 1]}


def eigenvectors(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of x^T x, the largest first, and as rows the unit vectors v with x^T x v = value v, for x (N, D).

    If D > N they come from the smaller x x^T u = value u, by v = x^T u / sqrt(value).
    """
    N, D = x.shape
    values, vectors = np.linalg.eigh(x.T @ x if D <= N else x @ x.T)
    values, rows = values[::-1].clip(0), vectors.T[::-1]
    return values, rows if D <= N else rows @ x / np.sqrt(values + np.finfo(float).tiny)[:, np.newaxis]


def limits(coordinates: np.ndarray) -> tuple[float, float]:
    """The range of coordinates, a little wider; around one that is the same for all codes 1 to each side."""
    low, high = float(coordinates.min()), float(coordinates.max())
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin
