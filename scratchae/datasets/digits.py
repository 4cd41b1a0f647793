"""Handwritten digits that need no network: scikit-learn's copy of the UCI set (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

import numpy as np

SIZE = 28
TEST = 297  # the last images, by writers whom the first 1,500 do not all show


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(x_train, y_train), (x_test, y_test), in the shapes of keras.datasets.mnist.

    x is uint8 (1500, 28, 28) and (297, 28, 28), the set's 8x8 images of 17 grey levels enlarged bilinearly; y is uint8,
    the digit. Needs scikit-learn (pip install "scratchae[sklearn]").
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('datasets.digits needs scikit-learn: pip install "scratchae[sklearn]"') from error
    digits = load_digits()
    x = np.round(enlarge(digits.images, SIZE) * (255 / 16)).astype(np.uint8)
    y = digits.target.astype(np.uint8)
    return (x[:-TEST], y[:-TEST]), (x[-TEST:], y[-TEST:])


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Square images (N, n, n) to (N, size, size), bilinearly, pixel centres kept in place."""
    n = images.shape[1]
    place = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    left = np.minimum(place.astype(int), n - 2)
    matrix = np.zeros((size, n))  # row i holds what each old pixel gives to new pixel i
    matrix[np.arange(size), left] = 1 - (place - left)
    matrix[np.arange(size), left + 1] = place - left
    return matrix @ images @ matrix.T
