import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from scratchae.datasets import DatasetError, declared, load

IDX = {"x_train": "train-images{}idx3-ubyte", "y_train": "train-labels{}idx1-ubyte"}
IDX |= {"x_test": "t10k-images{}idx3-ubyte", "y_test": "t10k-labels{}idx1-ubyte"}


def idx_bytes(array):
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npy_bytes(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def npz_bytes(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write(path, content):
    path.write_bytes(content)
    return path


@contextmanager
def little_memory(limit=1 << 20):
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, peak


@pytest.fixture
def mnist(rng):
    return {
        "x_train": rng.integers(0, 256, (7, 5, 3), np.uint8),
        "y_train": rng.integers(0, 10, 7, np.uint8),
        "x_test": rng.integers(0, 256, (4, 5, 3), np.uint8),
        "y_test": rng.integers(0, 10, 4, np.uint8),
    }


def assert_loaded(loaded, arrays):
    (x_train, y_train), (x_test, y_test) = loaded
    found = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    for name, array in found.items():
        if name in arrays:
            assert array.dtype.newbyteorder("=") == arrays[name].dtype.newbyteorder("=")
            np.testing.assert_array_equal(array, arrays[name], strict=array.dtype.isnative)
        else:
            assert array is None


# ---- what can be read -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("y_test", "x_test", "y_train", "x_train"),
        ("x_train", "x_test"),
        ("x_train", "y_train"),
        ("x_train", "y_train", "x_test"),
        ("x_train",),
    ],
)
def test_npz_in_keras_layout(tmp_path, mnist, save, names):
    arrays = {name: mnist[name] for name in names}
    save(tmp_path / "data.npz", **arrays)
    assert_loaded(load(tmp_path / "data.npz"), arrays)


def test_npz_of_one_array_of_any_name(tmp_path, rng):
    faces = rng.standard_normal((6, 4))
    np.savez(tmp_path / "a.npz", faces)
    np.savez_compressed(tmp_path / "b.npz", faces=faces)
    for name in ("a.npz", "b.npz"):
        assert_loaded(load(str(tmp_path / name)), {"x_train": faces})


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "<i2", ">i2", "<u4", "<i8", "<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_types_and_orders(tmp_path, rng, dtype, order):
    x = np.asarray(rng.integers(0, 100, (5, 3, 2)).astype(dtype), order=order)
    np.save(tmp_path / "x.npy", x)
    np.savez_compressed(tmp_path / "x.npz", x_train=x)
    for name in ("x.npy", "x.npz"):
        (found, y), test = load(tmp_path / name)
        assert (y, test) == (None, (None, None))
        np.testing.assert_array_equal(found, x, strict=True)
        assert isinstance(found, np.memmap) == (name == "x.npy")


def test_npy_of_format_2(tmp_path, rng):
    x = rng.standard_normal((3, 2))
    assert_loaded(load(write(tmp_path / "x.npy", npy_bytes(x, version=(2, 0)))), {"x_train": x})


def test_an_array_larger_than_a_chunk(tmp_path, rng):
    x = rng.integers(0, 256, (3, declared.CHUNK - 5), np.uint8)
    np.savez_compressed(tmp_path / "x.npz", x)
    write(tmp_path / "x.gz", gzip.compress(idx_bytes(x), 1))
    for name in ("x.npz", "x.gz"):
        assert_loaded(load(tmp_path / name), {"x_train": x})


def test_first_bytes_decide_not_the_name(tmp_path, mnist):
    x = mnist["x_train"]
    contents = [npy_bytes(x), npz_bytes({"x_train.npy": npy_bytes(x)}), idx_bytes(x), gzip.compress(idx_bytes(x))]
    for content in contents:
        assert_loaded(load(write(tmp_path / "data.bin", content)), {"x_train": x})


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_folder_of_idx_files(tmp_path, mnist, mark, packed):
    for name, pattern in IDX.items():
        content = idx_bytes(mnist[name])
        file = pattern.format(mark) + (".gz" if packed else "")
        write(tmp_path / file, gzip.compress(content) if packed else content)
    write(tmp_path / "README", b"other files are left alone")
    loaded = load(tmp_path)
    assert_loaded(loaded, mnist)
    assert all(isinstance(array, np.memmap) != packed for part in loaded for array in part)


def test_folder_prefers_what_can_be_mapped(tmp_path, mnist):
    for name, pattern in IDX.items():
        write(tmp_path / pattern.format("-"), idx_bytes(mnist[name]))
        write(tmp_path / (pattern.format("-") + ".gz"), b"half a download")
    assert_loaded(load(tmp_path), mnist)


# ---- memory ---------------------------------------------------------------------------------------------------------
def sparse_npy(path):
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (65_536, 800))
    mapped[-1, -1] = 3
    del mapped


def sparse_idx(path):
    with open(path, "wb") as file:
        file.write(bytes([0, 0, 0x0D, 2]) + struct.pack(">2I", 65_536, 800))
        file.truncate(12 + 65_536 * 800 * 4)
        file.seek(-4, os.SEEK_END)
        file.write(struct.pack(">f", 3))


@pytest.mark.parametrize("make", [sparse_npy, sparse_idx])
def test_large_files_are_mapped_not_read(tmp_path, make):
    path = tmp_path / "large"
    make(path)
    assert path.stat().st_size > 200e6
    with little_memory():
        (x, _), _ = load(path)
        assert isinstance(x, np.memmap)
        assert x.shape == (65_536, 800)
        assert x[-1, -1] == 3
        assert not x[::10_000, 5].any()
    with pytest.raises(ValueError, match="read-only"):
        x[0, 0] = 1


def header_of(shape, dtype="<f4"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return np.lib.format.MAGIC_PREFIX + b"\x01\x00" + struct.pack("<H", len(text)) + text.encode()


HUGE = "(2147483648, 2147483648)"
GREEDY = {
    "idx": idx_bytes(np.zeros((1, 1), np.uint8))[:4] + struct.pack(">2I", 2**31, 2**31) + b"123",
    "idx, all its sizes": bytes([0, 0, 14, 255]) + b"\xff" * 4 * 255,
    "idx.gz": gzip.compress(bytes([0, 0, 8, 2]) + struct.pack(">2I", 2**31, 2**31) + b"123"),
    "idx.gz, within what deflate can do": gzip.compress(
        bytes([0, 0, 8, 2]) + struct.pack(">2I", 1 << 10, 1 << 19) + bytes(1_000_000) + os.urandom(600_000)
    ),
    "npy": header_of(HUGE),
    "npy, long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 100,
    "npz, header": npz_bytes({"x_train.npy": header_of(HUGE)}),
    "npz, deflated header": npz_bytes({"x_train.npy": header_of(HUGE)}, zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("content", GREEDY.values(), ids=GREEDY)
def test_declared_sizes_are_refused_before_memory_is_taken(tmp_path, content):
    path = write(tmp_path / "greedy", content)
    with little_memory(), pytest.raises(DatasetError, match="greedy"):
        load(path)


def test_zip_that_lies_about_its_size(tmp_path):
    content = bytearray(npz_bytes({"x_train.npy": npy_bytes(np.zeros(9))}, zipfile.ZIP_DEFLATED))
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = struct.pack("<I", 2**32 - 2)
    path = write(tmp_path / "bomb.npz", content)
    with little_memory(), pytest.raises(DatasetError, match=r"x_train.*4,294,967,294 bytes.*cannot hold"):
        load(path)


def test_decompression_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(declared, "SMALL", 1 << 20)
    x = np.zeros((3_000_000,), np.uint8)
    np.savez_compressed(tmp_path / "bomb.npz", x)
    write(tmp_path / "bomb.gz", gzip.compress(idx_bytes(x)))
    for name in ("bomb.npz", "bomb.gz"):
        with little_memory(), pytest.raises(DatasetError, match=r"decompression bomb.*at most 100:1"):
            load(tmp_path / name)
    monkeypatch.setattr(declared, "SMALL", 1 << 22)
    for name in ("bomb.npz", "bomb.gz"):
        assert_loaded(load(tmp_path / name), {"x_train": x})


def test_zip_members_that_share_their_bytes(tmp_path, monkeypatch, mnist):
    path = tmp_path / "overlap.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", npy_bytes(np.zeros(10_000)))
        info = zipfile.ZipInfo("x_test.npy")
        original = archive.getinfo("x_train.npy")
        for name in ("header_offset", "compress_size", "file_size", "CRC"):
            setattr(info, name, getattr(original, name))
        archive.filelist.append(info)
    with pytest.raises(DatasetError, match="expected them not to overlap"):
        load(path)


# ---- what is refused ------------------------------------------------------------------------------------------------
X = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
GOOD_IDX = idx_bytes(X)
GOOD_GZ = gzip.compress(GOOD_IDX)
GOOD_NPY = npy_bytes(X)


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


BAD_FILES = {
    "empty": (b"", r"byte 0: b'' begins no known format"),
    "text": (b"a,b,c\n1,2,3\n", r"byte 0: b'a,b,c\\n1,' begins no known format; expected a .npz, .npy or IDX file"),
    "idx, cut in its magic": (GOOD_IDX[:3], r"byte 3: ends within the header"),
    "idx, wrong second byte": (b"\0\1" + GOOD_IDX[2:], r"begins no known format"),
    "idx, type": (b"\0\0\x0a\1" + GOOD_IDX[4:], r"byte 2: unknown type 0x0a; expected one of 0x08 uint8, 0x09 int8"),
    "idx, no dimensions": (b"\0\0\x08\0\5", r"byte 3: no dimensions"),
    "idx, 65 dimensions": (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"1", r"65 dimensions; expected 1 to 64"),
    "idx, cut in its sizes": (GOOD_IDX[:9], r"byte 9: ends within the header; expected 3 sizes"),
    "idx, no samples": (b"\0\0\x08\2" + struct.pack(">2I", 3, 0), r"byte 8: the shape \(3, 0\)"),
    "idx, cut": (GOOD_IDX[:-1], r"byte 39: the file has 39 bytes; its header declares uint8 \(4, 3, 2\), .* 40"),
    "idx, trailing": (GOOD_IDX + b"x", r"byte 40: the file has 41 bytes"),
    "gz, cut": (GOOD_GZ[:-10], r"by byte \d+ of \d+: expected a whole gzip stream, but it is damaged or cut short"),
    "gz, cut in its checksum": (GOOD_GZ[:-3], r"expected a whole gzip stream"),
    "gz, wrong checksum": (GOOD_GZ[:-8] + b"abcd" + GOOD_GZ[-4:], r"damaged or cut short \(CRC check failed"),
    "gz, damaged": (GOOD_GZ[:10] + b"\7" + GOOD_GZ[11:], r"damaged or cut short .*invalid block type"),
    "gz, trailing": (GOOD_GZ + b"x", r"damaged or cut short \(Not a gzipped file"),
    "gz, cut before packing": (gzip.compress(GOOD_IDX[:-1]), r"unpacked: ends at byte 39; expected 40 bytes"),
    "gz, more after packing": (gzip.compress(GOOD_IDX + b"x"), r"unpacked: goes on after byte 40"),
    "gz, not of idx": (gzip.compress(GOOD_NPY), r"unpacked byte 0: b'\\x93N'; expected two zeros"),
    "gz, type": (gzip.compress(b"\0\0\x07\1" + GOOD_IDX[4:]), r"unpacked byte 2: unknown type 0x07"),
    "npy, cut in its magic": (GOOD_NPY[:7], r"byte 7: ends within the header"),
    "npy, cut in its header": (GOOD_NPY[:60], r"byte 60: ends within the header"),
    "npy, version": (
        GOOD_NPY[:6] + b"\7\0" + GOOD_NPY[8:],
        r"byte 6: version \(7, 0\) of the format; expected \(1, 0\)",
    ),
    "npy, header": (GOOD_NPY.replace(b"'shape'", b"'share'"), r"byte 10: the header is damaged"),
    "npy, header no literal": (GOOD_NPY.replace(b"{'descr", b"{*descr"), r"byte 10: the header is damaged"),
    "npy, negative shape": (header_of("(-1, 3)"), r"declares the shape \(-1, 3\)"),
    "npy, no samples": (npy_bytes(np.zeros((0, 3))), r"declares the shape \(0, 3\); expected sizes of at least 1"),
    "npy, scalar": (npy_bytes(np.array(3.0)), r"0 dimensions; expected 1 to 64, samples first"),
    "npy, cut": (GOOD_NPY[:-1], r"byte 151: 151 bytes are there; the header declares uint8 \(4, 3, 2\), .* 152"),
    "npy, trailing": (GOOD_NPY + b"x", r"byte 152: 153 bytes are there"),
    "npy, objects": (npy_bytes(np.array([Evil(), 2], object)), r"holds Python objects, which only pickle could read"),
    "npy, text": (npy_bytes(np.array(["a", "b"])), r"values of type <U1; expected numbers"),
    "npy, records": (npy_bytes(np.zeros(3, [("a", "i4")])), r"expected numbers"),
    "npy, complex": (npy_bytes(np.zeros(3, complex)), r"values of type complex128; expected numbers"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_malformed_files_are_named(tmp_path, capsys, content, message):
    path = write(tmp_path / "bad.data", content)
    with pytest.raises(DatasetError, match=rf"bad\.data.*{message}"):
        load(path)
    assert capsys.readouterr().out == ""


GOOD_NPZ = npz_bytes({"x_train.npy": GOOD_NPY, "y_train.npy": npy_bytes(np.arange(4))}, zipfile.ZIP_DEFLATED)


def with_flag(content, offset, value):
    """The first member of an archive with a byte changed: offset from the central entry."""
    changed = bytearray(content)
    changed[changed.index(b"PK\x01\x02") + offset] = value
    return bytes(changed)


BAD_ARCHIVES = {
    "cut": (GOOD_NPZ[:-30], r"expected a whole .npz file of \d+ bytes, but it is damaged"),
    "no directory": (GOOD_NPZ[:100], r"expected a whole .npz file of 100 bytes"),
    "empty": (npz_bytes({}), r"holds nothing; expected x_train, with or without"),
    "not an array": (
        npz_bytes({"x_train.npy": GOOD_NPY, "readme.txt": b"hi"}),
        r"'readme.txt': the archive holds more",
    ),
    "folder": (npz_bytes({"x/": b"", "x/x_train.npy": GOOD_NPY}), r"'x/': the archive holds more than arrays"),
    "unknown": (npz_bytes({"x_train.npy": GOOD_NPY, "z.npy": GOOD_NPY}), r"holds z; expected x_train, with or without"),
    "no samples": (npz_bytes({"x_test.npy": GOOD_NPY, "y_train.npy": GOOD_NPY}), r"holds x_test, y_train; expected"),
    "labels only": (npz_bytes({"y_train.npy": GOOD_NPY}), r"holds y_train; expected x_train"),
    "test labels only": (npz_bytes({"x_train.npy": GOOD_NPY, "y_test.npy": GOOD_NPY}), r"holds x_train, y_test; exp"),
    "lengths": (
        npz_bytes({"x_train.npy": GOOD_NPY, "y_train.npy": npy_bytes(np.arange(5))}),
        r"x_train has 4 samples and y_train 5; expected as many",
    ),
    "test lengths": (
        npz_bytes({f"{name}.npy": npy_bytes(np.arange(n)) for name, n in zip(IDX, (4, 4, 3, 2), strict=True)}),
        r"x_test has 3 samples and y_test 2",
    ),
    "objects": (npz_bytes({"x_train.npy": npy_bytes(np.array([Evil()]))}), r"x_train: holds Python objects"),
    "array cut": (npz_bytes({"x_train.npy": GOOD_NPY[:-1]}), r"x_train, byte 151: 151 bytes are there"),
    "array trailing": (npz_bytes({"x_train.npy": GOOD_NPY + b"x"}), r"x_train, byte 152: 153 bytes are there"),
    "array magic": (npz_bytes({"x_train.npy": GOOD_IDX}), r"x_train, byte 0: .*; expected b'\\x93NUMPY'"),
    "lzma": (npz_bytes({"x_train.npy": GOOD_NPY}, zipfile.ZIP_LZMA), r"'x_train.npy': is encrypted or packed in an un"),
    "encrypted": (with_flag(GOOD_NPZ, 8, 1), r"'x_train.npy': is encrypted"),
    "checksum": (with_flag(GOOD_NPZ, 16, 0x77), r"damaged or cut short \(Bad CRC-32 for file 'x_train.npy'\)"),
    "stored size": (with_flag(npz_bytes({"x.npy": GOOD_NPY}), 20, 9), r"'x.npy': stored in 9 bytes; expected 152"),
}


@pytest.mark.parametrize(("content", "message"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_malformed_archives_are_named(tmp_path, capsys, content, message):
    path = write(tmp_path / "bad.npz", content)
    with pytest.raises(DatasetError, match=rf"bad\.npz.*{message}"):
        load(path)
    assert capsys.readouterr().out == ""


def test_archive_with_a_name_twice(tmp_path):
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", GOOD_NPY)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x_train.npy", GOOD_NPY)
    with pytest.raises(DatasetError, match="holds x_train, x_train; expected each name once"):
        load(path)


def test_malformed_folders_are_named(tmp_path, mnist):
    with pytest.raises(DatasetError, match=r"has no train-images-idx3-ubyte; expected MNIST's four IDX files"):
        load(tmp_path)
    for name, pattern in IDX.items():
        write(tmp_path / pattern.format("."), idx_bytes(mnist[name]))
    labels = write(tmp_path / "t10k-labels.idx1-ubyte", idx_bytes(mnist["y_train"]))
    with pytest.raises(DatasetError, match="x_test has 4 samples and y_test 7"):
        load(tmp_path)
    write(labels, npy_bytes(mnist["y_test"]))
    with pytest.raises(DatasetError, match=r"t10k-labels\.idx1-ubyte, byte 0: b'\\x93N'; expected two zeros"):
        load(tmp_path)
    labels.unlink()
    with pytest.raises(DatasetError, match=r"has no t10k-labels-idx1-ubyte"):
        load(tmp_path)


def test_paths_that_are_no_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.npz: there is no such file or folder; expected a \.npz"):
        load(tmp_path / "missing.npz")
    with pytest.raises(TypeError, match=r"load: path=3 is a int; expected the path of a file or folder"):
        load(3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match=r"pipe: is no regular file"):
        load(tmp_path / "pipe")


@pytest.mark.parametrize(
    "content",
    [GOOD_IDX, GOOD_GZ, GOOD_NPY, GOOD_NPZ, npz_bytes({"x_train.npy": GOOD_NPY, "x_test.npy": GOOD_NPY})],
    ids=["idx", "gz", "npy", "npz", "npz stored"],
)
def test_no_damage_gives_another_error(tmp_path, rng, content):
    """Bytes changed, left out or put in at random: an array of what is there, or a DatasetError that names the file."""
    path = tmp_path / "damaged"
    refused = sound = 0
    for _ in range(250):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            i = rng.integers(len(damaged))
            kind = rng.integers(3)
            if kind == 0:
                damaged[i] = rng.integers(256)
            elif kind == 1:
                del damaged[i : i + rng.integers(1, 9)]
            else:
                damaged[i:i] = rng.bytes(rng.integers(1, 9))
        write(path, damaged)
        try:
            (x, _), _ = load(path)
        except DatasetError as error:
            refused += str(path) in str(error)
        else:
            assert x.nbytes <= 2 * X.nbytes
            sound += 1
    assert refused + sound == 250
    assert refused > 50
