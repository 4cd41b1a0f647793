"""MNIST: handwritten digits (LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
recognition")."""

from __future__ import annotations

import os

from . import download
from .loading import Split, load_complete

FILES = {"mnist.npz": "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"}


def load_data(path: str | os.PathLike[str] | None = None) -> Split:
    """(x_train, y_train), (x_test, y_test), as keras.datasets.mnist gives them.

    Args:
        path: Keras' mnist.npz, or a folder of the four IDX files, gzipped or not. None takes the copy in the user's
            cache, which is downloaded the first time (11 MB) and needs pooch (pip install "scratchae[data]").

    Returns:
        x is uint8 (60000, 28, 28) and (10000, 28, 28), white on black; y is uint8 (60000,) and (10000,), the digit.

    Raises ConnectionError where the download fails; it says where the file can be put by hand. Other errors are those
    of datasets.load.
    """
    if path is None:
        path = download.fetch("mnist", FILES) / "mnist.npz"
    return load_complete("mnist.load_data", path)
