"""Fashion-MNIST: articles of clothing, in the shapes of MNIST (Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747)."""

from __future__ import annotations

import os

from . import download
from .loading import Split, load_complete

FILES = {  # the files whose MD5 sums the authors publish
    "train-images-idx3-ubyte.gz": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_data(path: str | os.PathLike[str] | None = None) -> Split:
    """(x_train, y_train), (x_test, y_test), as keras.datasets.fashion_mnist gives them.

    Args:
        path: a folder of the four IDX files, gzipped or not, or an .npz file in the layout of Keras' mnist.npz. None
            takes the copies in the user's cache, which are downloaded the first time (31 MB) and need pooch
            (pip install "scratchae[data]").

    Returns:
        x is uint8 (60000, 28, 28) and (10000, 28, 28), white on black; y is uint8 (60000,) and (10000,): 0 T-shirt,
        1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.

    Raises ConnectionError where the download fails; it says where the files can be put by hand. Other errors are those
    of datasets.load.
    """
    if path is None:
        path = download.fetch("fashion_mnist", FILES)
    return load_complete("fashion_mnist.load_data", path)
