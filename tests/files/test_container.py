"""Arrays and values in one file: whole, unchanged, or refused."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from scratchae import ScratchaeFormatError
from scratchae.files import container

GRID = np.arange(24.0, dtype=np.float32).reshape(4, 6)
ARRAYS = {
    "float32": GRID,
    "float64": np.array([np.pi, np.nan, -np.inf, -0.0]),
    "integers": np.array([[-1, 2**62]]),
    "bytes": np.array([[0, 255]], np.uint8),
    "transposed": GRID.T,
    "every second": GRID[::2, ::-3],
    "columns first": np.asfortranarray(GRID),
    "big-endian": GRID.astype(">f4"),
    "a number": np.array(2.5, np.float32),
    "nothing": np.zeros((0, 3), np.float32),
}
METADATA = {"text": 'quotes ", snowmen \u2603 and a \\', "list": [1, 2.5, None, True], "inside": {"a": {"b": []}}}


def written(path, arrays=ARRAYS, metadata=METADATA):
    container.write(path, arrays, metadata)
    return path.read_bytes()


def test_arrays_and_metadata_come_back(tmp_path):
    written(tmp_path / "f")
    arrays, metadata = container.read(tmp_path / "f")
    assert metadata == METADATA
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype.newbyteorder("=")
        assert arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].flags.writeable


def test_the_same_content_is_the_same_file(tmp_path):
    assert written(tmp_path / "a") == written(tmp_path / "b", dict(reversed(ARRAYS.items())))


def test_the_library_reads_what_is_written(tmp_path):
    for name, array in load(written(tmp_path / "f")).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "f"
    content = written(path, {"a": GRID[:1], "b": np.array(3)}, {"who": "me"})
    for i in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[i] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(ScratchaeFormatError):
                container.read(path)


def test_every_length_but_the_whole_is_refused(tmp_path):
    path = tmp_path / "f"
    content = written(path, {"a": GRID[:1]}, {"who": "me"})
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ScratchaeFormatError, match="f is damaged, or no file of scratchae"):
            container.read(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ScratchaeFormatError, match="the checksum is another one"):
        container.read(path)


def forged(path, header, data=b""):
    """A file whose checksum is right, with any text as its header."""
    head = header.encode()
    content = len(head).to_bytes(8, "little") + head + data
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content.replace(b"0" * 64, digest))


def header(arrays="", text='{\\"sha256\\":\\"' + "0" * 64 + '\\"}'):
    return f'{{"__metadata__":{{"scratchae":"{text}"}}{arrays}}}'


def entry(dtype="F32", shape="[2]", offsets="[0,8]", name="a"):
    return f',"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}'


def inside(text):
    return header(text='{\\"sha256\\":\\"' + "0" * 64 + '\\",\\"x\\":' + text + "}")


FORGED = {
    "a name twice": (header(entry() + entry()), "a name that is there twice"),
    "NaN": (inside("NaN"), "the number NaN"),
    "infinity": (inside("1e999"), "the number 1e999"),
    "many digits": (inside("1" * 5000), "an integer of 5,000 digits"),
    "deep": (inside("[" * 300 + "]" * 300), "nested more than 200 deep"),
    "deeper": (inside("[" * 100_000 + "]" * 100_000), "no JSON text"),
    "no JSON": (inside("tomorrow"), "no JSON text"),
    "a number as text": (header(text="7"), "object"),
    "no checksum": (header(text="{}"), "'sha256' is missing"),
    "no metadata": ("{}", "'__metadata__' is missing"),
    "another type": (header(entry("BF16", offsets="[0,4]")), "'BF16' is missing"),
    "a hole": (header(entry(offsets="[8,16]")), "'a' lies wrong"),
    "overlap": (header(entry() + entry(name="b")), "'b' lies wrong"),
    "a wrong size": (header(entry(shape="[3]")), "'a' lies wrong"),
    "negative": (header(entry(shape="[-1,-2]")), "'a' lies wrong"),
    "a fraction": (header(entry(shape="[2.0]")), "'a' lies wrong"),
    "beyond the end": (header(entry(shape="[100]", offsets="[0,400]")), "bytes after the last array|lies wrong"),
    "too much of nothing": (header(entry(shape="[0,281474976710657]", offsets="[0,0]")), "'a' lies wrong"),
    "bytes behind": (header(), "bytes after the last array"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_wrong_is_refused_although_its_checksum_is_right(name, tmp_path):
    text, message = FORGED[name]
    forged(tmp_path / "f", text, bytes(8))
    with pytest.raises(ScratchaeFormatError, match=message):
        container.read(tmp_path / "f")


def test_forged_files_are_read_where_nothing_is_wrong(tmp_path):
    forged(tmp_path / "f", header(entry()), bytes(8))
    np.testing.assert_array_equal(container.read(tmp_path / "f")[0]["a"], [0, 0])


def test_a_header_of_more_than_1_mb_is_neither_read_nor_written(tmp_path):
    forged(tmp_path / "f", header() + " " * 2**20)
    with pytest.raises(ScratchaeFormatError, match="are said to be its header"):
        container.read(tmp_path / "f")
    with pytest.raises(ValueError, match=r"the metadata has more than 1,048,576 bytes, the limit"):
        container.write(tmp_path / "g", {}, {"x": "y" * 2**20})
    assert not (tmp_path / "g").exists()


def test_what_no_file_can_hold_is_refused_at_once(tmp_path):
    for array in (np.zeros(2, bool), np.zeros(2, object), np.zeros(2, complex), "text"):
        with pytest.raises(TypeError, match=r"the array 'a' is of type .*; expected float32, float64 or integers"):
            container.write(tmp_path / "f", {"a": array}, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        container.write(tmp_path / "f", {}, {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    import safetensors.numpy

    def full(tensors, path, metadata):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    content = written(tmp_path / "f")
    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with pytest.raises(OSError, match="No space left on device"):
        container.write(tmp_path / "f", ARRAYS, {})
    assert (tmp_path / "f").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_are_refused(tmp_path):
    (tmp_path / "other").write_bytes(save({"a": GRID}, metadata={"format": "np"}))
    with pytest.raises(ScratchaeFormatError, match="'scratchae' is missing"):
        container.read(tmp_path / "other")
    (tmp_path / "text").write_text(json.dumps({"no": "array"}))
    with pytest.raises(ScratchaeFormatError, match="are said to be its header"):
        container.read(tmp_path / "text")
    with pytest.raises(FileNotFoundError):
        container.read(tmp_path / "nothing")
