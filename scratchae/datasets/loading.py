"""Data from files, as ((x_train, y_train), (x_test, y_test))."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TypeAlias

import numpy as np

from . import idx, npy, npz
from .declared import DatasetError

Array: TypeAlias = np.ndarray
Loaded: TypeAlias = tuple[tuple[Array, Array | None], tuple[Array | None, Array | None]]
Split: TypeAlias = tuple[tuple[Array, Array], tuple[Array, Array]]

FOLDER = {  # what the four files of MNIST are called
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}


def load(path: str | os.PathLike[str]) -> Loaded:
    """Data from a file or folder. What a file is, its first bytes decide, not its name.

    Args:
        path: one of
            .npz: x_train, with or without y_train, x_test and y_test (the layout of Keras' mnist.npz); or one array of
                any name. Read into memory.
            .npy: one array, memory-mapped: it may be larger than memory, and must not change while it is used.
            IDX (yann.lecun.com/exdb/mnist): one array of any of the six types, memory-mapped; or gzipped, read into
                memory.
            folder: the four IDX files of MNIST (LeCun et al. 1998), gzipped or not: train-images-idx3-ubyte,
                train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, also with a point before idx.

    Returns:
        (x_train, y_train), (x_test, y_test): arrays of booleans, integers or floats, samples first, in the file's type
        and byte order (IDX is big-endian). What the file lacks is None; a single array is x_train, and the caller
        splits it: `(x, _), _ = load("faces.npy")`.

    Raises:
        FileNotFoundError: there is nothing at path.
        DatasetError: (a ValueError) the file is damaged, of another format, or declares more than it can hold; names
            the file, the byte or array in it, and what was expected. Nothing is unpickled, and sizes are compared with
            the file's before memory is taken.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"load: path={path!r} is a {type(path).__name__}; expected the path of a file or folder")
    path = Path(path)
    arrays = read_folder(path) if path.is_dir() else read_file(path)
    return arrange(path, arrays)


def load_complete(owner: str, path: str | os.PathLike[str]) -> Split:
    """load, for data that has labels and a test part; DatasetError where one is missing."""
    (x_train, y_train), (x_test, y_test) = load(path)
    if y_train is None or x_test is None or y_test is None:
        parts = {"y_train": y_train, "x_test": x_test, "y_test": y_test}
        missing = ", ".join(name for name, part in parts.items() if part is None)
        raise DatasetError(
            f"{owner}: path={str(path)!r} lacks {missing}; expected all of Keras' mnist.npz, or a folder of the four "
            "IDX files. datasets.load(path) takes files with less"
        )
    return (x_train, y_train), (x_test, y_test)


def read_file(path: Path) -> dict[str, Array]:
    """The arrays of a file, by the names of Keras' mnist.npz."""
    size = require_file(path)
    with open(path, "rb") as file:
        begin = file.read(8)
        file.seek(0)
        if begin.startswith(b"PK"):
            return npz.read(path, file, size)
        if begin.startswith(npy.MAGIC):
            return {"x_train": npy.read(path, file, size)}
        if begin.startswith((b"\0\0", idx.GZIP)):
            return {"x_train": idx.read(path, file, size)}
    raise DatasetError(f"{path}, byte 0: {begin!r} begins no known format; expected a .npz, .npy or IDX file")


def read_folder(folder: Path) -> dict[str, Array]:
    """The arrays of MNIST's four IDX files, by the names of Keras' mnist.npz."""
    arrays = {}
    for key, path in [(key, find(folder, key)) for key in FOLDER]:  # all are found before one is read
        size = require_file(path)
        with open(path, "rb") as file:
            arrays[key] = idx.read(path, file, size)
    return arrays


def require_file(path: Path) -> int:
    """The size of a regular file: a pipe or a device has none, and might never end."""
    try:
        status = path.stat()
    except FileNotFoundError:
        expected = "expected a .npz, .npy or IDX file, or a folder of MNIST's four IDX files"
        raise FileNotFoundError(f"{path}: there is no such file or folder; {expected}") from None
    if not stat.S_ISREG(status.st_mode):
        raise DatasetError(f"{path}: is no regular file; expected a file whose size is known")
    return status.st_size


def find(folder: Path, key: str) -> Path:
    """One of MNIST's files: unpacked, which can be memory-mapped, rather than gzipped."""
    name, ending = FOLDER[key]
    candidates = [folder / f"{name}{mark}{ending}{gz}" for gz in ("", ".gz") for mark in "-."]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise DatasetError(f"{folder}: has no {candidates[0].name}; expected MNIST's four IDX files, gzipped or not")


def arrange(path: Path, arrays: dict[str, Array]) -> Loaded:
    """The arrays in Keras' order; DatasetError where labels and samples differ in number."""
    for part in ("train", "test"):
        x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
        if x is not None and y is not None and len(x) != len(y):
            raise DatasetError(f"{path}: x_{part} has {len(x):,} samples and y_{part} {len(y):,}; expected as many")
    return (arrays["x_train"], arrays.get("y_train")), (arrays.get("x_test"), arrays.get("y_test"))
