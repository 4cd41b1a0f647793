"""Files from the network, kept in the user's cache folder, each with a checksum."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from .declared import DatasetError

BASE_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"  # the copies that Keras uses
TIMEOUT = 30  # seconds without a byte


def fetch(name: str, files: Mapping[str, str]) -> Path:
    """The folder of a data set's files, which are downloaded unless they are there already.

    Args:
        name: the data set's; its files lie in the cache in a folder of this name.
        files: the checksum of each, as "sha256:..." or another algorithm that hashlib has.

    Returns the folder. Raises ImportError without pooch; ConnectionError where the network fails; DatasetError where
    what arrives has another checksum. Only files with the right checksum are kept.
    """
    pooch = import_pooch(name)
    from requests.exceptions import RequestException

    folder = cache_folder(name)
    by_hand = (
        f"To go on without a network, put {', '.join(files)} into {folder}, or pass path= to load_data: "
        "an .npz file or a folder of IDX files"
    )
    for file, checksum in files.items():
        url = BASE_URL + file
        try:
            downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
            pooch.retrieve(url, checksum, file, folder, downloader=downloader)
        except RequestException as error:
            found = " The file there now has another checksum." if (folder / file).exists() else ""
            raise ConnectionError(
                f"{name}: could not download {url}: the network or the server failed ({error}). {by_hand}.{found}"
            ) from error
        except ValueError as error:  # pooch's word for a wrong checksum
            raise DatasetError(
                f"{name}: what {url} sends is not {file} as published ({error}); expected {checksum}. "
                f"It was not kept; try again later. {by_hand}."
            ) from error
    return folder


def cache_folder(name: str) -> Path:
    """Where the files of a data set lie, such as ~/.cache/scratchae/mnist."""
    return Path(import_pooch(name).os_cache("scratchae")) / name


def import_pooch(name: str) -> ModuleType:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f'datasets.{name}.load_data() downloads with pooch: pip install "scratchae[data]", or pass path='
        ) from error
    return pooch
