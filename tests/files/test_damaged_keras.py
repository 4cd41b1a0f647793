"""Loaders of Keras' files on what nobody vouches for: an error that says why, or a model, and nothing else."""

import io
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mutate_keras import run

import scratchae
from scratchae import ScratchaeFormatError
from scratchae.autoencoders import vanilla
from scratchae.files import hdf5, hdf5_reader, keras

h5py = pytest.importorskip("h5py")
ROOT = Path(__file__).parents[2]
INPUTS = 2000  # python tests/files/mutate_keras.py --inputs 100000 takes minutes


@pytest.fixture(autouse=True)
def on_reference():
    scratchae.set_device("reference")


@pytest.fixture
def model(rng):
    model = vanilla.autoencoder(4, [3], 2)[2]
    x = rng.random((5, 4))
    model.train_on_batch(x, x)
    return model


@pytest.fixture
def members(model, tmp_path):
    """The files in a .keras file."""
    keras.save(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return path


def refused(path, match):
    """Assert that a .keras file is refused, with 20 MB of memory at most."""
    tracemalloc.start()
    with pytest.raises(ScratchaeFormatError, match=match):
        keras.load(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * path.stat().st_size + 20e6


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_mutated_files_are_refused_or_read(kind, tmp_path):
    refused, longest = run(INPUTS, kind, tmp_path)
    assert INPUTS / 10 < refused < INPUTS
    assert longest < 5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much memory was taken")
def test_a_large_model_takes_at_most_twice_its_file_and_64_mb(tmp_path):
    _, _, auto = vanilla.autoencoder(1500, [1000], 300)
    auto.train_on_batch(np.zeros((2, 1500)), np.zeros((2, 1500)))
    auto.save(tmp_path / "m.keras")
    command = [sys.executable, "-m", "tests.files.memory", tmp_path / "m.keras"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    taken, size = map(int, result.stdout.split())
    assert result.stderr == ""
    assert size < taken < 2 * size + 64 * 2**20


# ---- archives -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["../config.json", "/config.json", "assets/x", "model.weights.npz", "..\\config.json"])
def test_files_that_keras_does_not_write_are_refused(members, tmp_path, name):
    refused(write(tmp_path / "m.keras", members | {name: b""}), "the archive has 4 files; expected metadata.json")
    del members["metadata.json"]
    refused(write(tmp_path / "m.keras", members | {name: b""}), "the archive has the files .*; expected metadata.json")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(members, tmp_path):
    twice = [*members.items(), ("config.json", b"{}")]
    refused(write(tmp_path / "m.keras", twice[1:]), "the archive has the files")


def test_archives_that_grow_are_refused(members, tmp_path):
    zeros = members | {"model.weights.h5": bytes(50_000_000)}
    refused(write(tmp_path / "m.keras", zeros, compression=zipfile.ZIP_DEFLATED), "claims to hold 500")
    long = members | {"config.json": b"[" * 2_000_000}
    refused(write(tmp_path / "m.keras", long), "config.json has 2000000 bytes; 1048576 is the limit")


def test_a_false_size_is_refused(members, tmp_path):
    path = write(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    size = struct.pack("<I", len(members["model.weights.h5"]))
    where = content.rindex(size)  # in the list of files
    content[where : where + 4] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    refused(path, "claims to hold 21474")


def test_links_and_encrypted_files_are_refused(members, tmp_path):
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    others = [(name, content) for name, content in members.items() if name != "config.json"]
    refused(write(tmp_path / "m.keras", [*others, (link, b"/etc/passwd")]), "config.json is a link")
    path = write(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refused(path, "model.weights.h5 is encrypted")
    refused(write(path, members, compression=zipfile.ZIP_LZMA), "is compressed in another way")


def test_what_is_no_archive_is_refused(members, tmp_path):
    path = tmp_path / "m.keras"
    whole = write(path, members).read_bytes()
    for content in (b"", b"PK", whole[:-1], whole[:1000], bytes(100)):
        path.write_bytes(content)
        refused(path, "this is no .keras file")
    path.write_bytes(whole.replace(b"keras", b"karas"))
    refused(path, "Bad CRC-32")
    with pytest.raises(FileNotFoundError):
        keras.load(tmp_path / "nothing.keras")


@pytest.mark.parametrize(
    "config", ["", "[]", "[" * 100_000, "{", '{"class_name": []}', '{"module": "os", "class_name": "system"}']
)
def test_a_configuration_that_is_none_is_refused(members, tmp_path, config):
    refused(write(tmp_path / "m.keras", members | {"config.json": config.encode()}), "m.keras: ")


def test_a_configuration_larger_than_its_weights_is_refused(members, tmp_path):
    config = members["config.json"].replace(b'"units": 3', b'"units": 300000000')
    refused(write(tmp_path / "m.keras", members | {"config.json": config}), "more than the file holds weights for")


# ---- HDF5 -----------------------------------------------------------------------------------------------------------
def content_of(make):
    """The HDF5 data that `make(file)` writes with h5py."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        make(file)
    return content.getvalue()


FOREIGN = {
    "a compressed dataset": lambda file: file.create_dataset("a/b", data=np.zeros((100, 100)), compression="gzip"),
    "a chunked dataset": lambda file: file.create_dataset("a/b", data=np.zeros((9, 9)), chunks=(3, 3)),
    "of no float or integer type": lambda file: file.create_dataset("a/b", data=np.zeros(3, complex)),
    "a soft link, 'b' in 'a'": lambda file: file.create_group("a").__setitem__("b", h5py.SoftLink("/c")),
    "an external link": lambda file: file.create_group("a").__setitem__("b", h5py.ExternalLink("x.h5", "/c")),
    "an external dataset": lambda file: file.create_dataset("a", (3,), "f4", external=[("x.raw", 0, 12)]),
    "an object of a newer kind": lambda file: file.create_group("a", track_order=True),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_keras_does_not_write_is_refused(what):
    with pytest.raises(ScratchaeFormatError, match=what):
        hdf5_reader.read(content_of(FOREIGN[what]))


def test_virtual_datasets_and_newer_files_are_refused(tmp_path):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("x.h5", "c", (3,))
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:
        file.create_virtual_dataset("a", layout)
    with pytest.raises(ScratchaeFormatError, match="a superblock of version"):
        hdf5_reader.read(content.getvalue())
    with h5py.File(tmp_path / "a.h5", "w", libver=("earliest", "latest")) as file:
        file.create_virtual_dataset("a", layout)
    with pytest.raises(ScratchaeFormatError, match="a virtual dataset, 'a'"):
        hdf5_reader.read((tmp_path / "a.h5").read_bytes())


def test_many_arrays_in_the_same_bytes_are_refused():
    """Without a bound, a small file could say that each of its arrays is all of it."""

    def make(file):
        file["0"] = np.zeros(10_000)
        for i in range(1, 20):
            file[str(i)] = file["0"]

    with pytest.raises(ScratchaeFormatError, match="parts of it overlap"):
        hdf5_reader.read(content_of(make))


def test_a_group_in_itself_is_refused():
    content = bytearray(content_of(lambda file: file.create_group("a/b")))
    with h5py.File(io.BytesIO(content)) as file:
        a, b = (h5py.h5o.get_info(file[name].id).addr for name in ("a", "a/b"))
    where = content.index(struct.pack("<Q", b))
    content[where : where + 8] = struct.pack("<Q", a)
    with pytest.raises(ScratchaeFormatError, match="parts of it overlap"):
        hdf5_reader.read(bytes(content))


def test_weights_that_are_no_numbers_change_nothing(model, tmp_path):
    before, path = model.get_weights(), tmp_path / "m.weights.h5"
    hdf5.save_weights(model, path)
    with h5py.File(path, "a") as file:
        file["optimizer/vars/3"][0] = np.inf
        file["layers/functional/layers/dense/vars/0"][:] = 7
    with pytest.raises(ScratchaeFormatError, match="the optimizer's state for 'dense/kernel' has NaN or infinity"):
        hdf5.load_weights(model, path)
    with h5py.File(path, "a") as file:
        file["layers/functional/layers/dense/vars/0"][0, 0] = np.nan
    with pytest.raises(ScratchaeFormatError, match=r"vars/0', for 'dense/kernel', has NaN or infinity"):
        hdf5.load_weights(model, path)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
