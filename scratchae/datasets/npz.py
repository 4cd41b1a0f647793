"""NumPy's .npz files: zip archives of .npy files, stored (numpy.savez) or deflated (numpy.savez_compressed)."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from . import npy
from .declared import DatasetError, check_packed, read_array

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

NAMES = ("x_train", "y_train", "x_test", "y_test")  # Keras' mnist.npz
EXPECTED = "expected x_train, with or without y_train, x_test and y_test, as in Keras' mnist.npz, or one array alone"


def read(path: Path, file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    """The arrays of an open .npz file of `size` bytes, by name; one array alone is x_train, whatever its name."""
    import errno
    import struct
    import zipfile
    import zlib

    malformed = (zipfile.BadZipFile, zlib.error, struct.error)
    try:
        with zipfile.ZipFile(file) as archive:
            members = checked_members(path, archive.infolist(), size)
            return {name: read_member(f"{path}, {name}", archive, info) for name, info in members.items()}
    except DatasetError:
        raise
    except (*malformed, EOFError, ArithmeticError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise  # the disk's fault; EINVAL is a place before the file's beginning, which a damaged archive may name
        raise DatasetError(
            f"{path}: expected a whole .npz file of {size:,} bytes, but it is damaged or cut short ({error}); "
            "fetch or write it again"
        ) from error


def checked_members(path: Path, infos: list[ZipInfo], size: int) -> dict[str, ZipInfo]:
    """The archive's members by name; DatasetError if they are not a data set's, or cannot be as large as they say."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    for info in infos:
        where = f"{path}, {info.filename!r}"
        if not info.filename.endswith(".npy"):
            raise DatasetError(f"{where}: the archive holds more than arrays; {EXPECTED}")
        if info.flag_bits & 1 or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise DatasetError(f"{where}: is encrypted or packed in an unusual way; expected it stored or deflated")
        if info.compress_type == ZIP_STORED and info.compress_size != info.file_size:
            raise DatasetError(f"{where}: stored in {info.compress_size:,} bytes; expected {info.file_size:,}")
        check_packed(where, info.file_size, info.compress_size)
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    if packed > size:  # members that share their bytes unpack to any size without a suspicious ratio
        raise DatasetError(f"{path}: its arrays take {packed:,} bytes of {size:,}; expected them not to overlap")
    check_packed(str(path), unpacked, size)
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(names) == 1 and names[0] not in NAMES[1:]:
        return {"x_train": infos[0]}
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise DatasetError(f"{path}: holds {', '.join(unknown)}; {EXPECTED}")
    if len(set(names)) < len(names):
        raise DatasetError(f"{path}: holds {', '.join(sorted(names))}; expected each name once")
    if "x_train" not in names or ("y_test" in names and "x_test" not in names):
        raise DatasetError(f"{path}: holds {', '.join(names) or 'nothing'}; {EXPECTED}")
    return dict(zip(names, infos, strict=True))


def read_member(where: str, archive: ZipFile, info: ZipInfo) -> np.ndarray:
    with archive.open(info) as stream:
        header = npy.read_header(stream, where, info.file_size)
        return read_array(stream, where, header.dtype, header.shape, header.offset, header.fortran)
