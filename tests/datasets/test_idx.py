"""Any array of IDX's six types comes back as it was, and is written here from the description alone."""

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scratchae.datasets import load

TYPES = {"uint8": (0x08, "B"), "int8": (0x09, "b"), "int16": (0x0B, "h"), "int32": (0x0C, "i")}
TYPES |= {"float32": (0x0D, "f"), "float64": (0x0E, "d")}


def idx(array):
    code, letter = TYPES[array.dtype.name]
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    values = struct.pack(f">{array.size}{letter}", *array.ravel().tolist())
    return bytes([0, 0, code, array.ndim]) + sizes + values


@pytest.mark.parametrize("packed", [False, True])
@given(
    array=st.sampled_from(sorted(TYPES)).flatmap(
        lambda name: arrays.arrays(
            name,
            arrays.array_shapes(min_dims=1, max_dims=5, max_side=4),
            elements={"allow_nan": False} if "float" in name else None,
        )
    )
)
@settings(max_examples=100, deadline=None)
def test_arrays_come_back(packed, array):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "array")
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        (x, y), test = load(path)
        assert (y, test) == (None, (None, None))
        assert isinstance(x, np.memmap) != packed
        assert x.shape == array.shape
        assert x.dtype == array.dtype.newbyteorder(">")
        np.testing.assert_array_equal(x, array)
        del x  # a mapped file cannot be deleted on Windows


def test_bytes_as_the_format_is_described(tmp_path):
    """Two labels, 7 and 2, and one image of 2 x 3 in 16 bits, by hand."""
    (tmp_path / "labels").write_bytes(bytes.fromhex("00000801 00000002 0702"))
    (tmp_path / "image").write_bytes(bytes.fromhex("00000b03 00000001 00000002 00000003 0001 0100 ffff 7fff 8000 0000"))
    (labels, _), _ = load(tmp_path / "labels")
    (image, _), _ = load(tmp_path / "image")
    assert labels.tolist() == [7, 2]
    assert image.tolist() == [[[1, 256, -1], [32767, -32768, 0]]]
