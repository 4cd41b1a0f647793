"""MNIST and Fashion-MNIST from a server on this machine, from the cache, and from files."""

import gzip
import hashlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from scratchae.datasets import DatasetError, download, fashion_mnist, load, mnist

pooch = pytest.importorskip("pooch")


class Server(ThreadingHTTPServer):
    """Serves `files`; a name in `cut` is promised whole and sent by half."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.requests = {}, set(), []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        self.server.requests.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if name in self.server.cut else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(download, "BASE_URL", server.url)
    monkeypatch.setattr(download, "cache_folder", lambda name: tmp_path / "cache" / name)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def arrays(rng):
    return [rng.integers(0, 256, shape, np.uint8) for shape in [(6, 28, 28), (6,), (3, 28, 28), (3,)]]


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.fixture(params=[mnist, fashion_mnist], ids=["mnist", "fashion_mnist"])
def dataset(request, server, arrays, monkeypatch, tmp_path):
    """A data set's module whose files, small ones, are on the server."""
    if request.param is mnist:
        np.savez(tmp_path / "mnist.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))
        server.files = {"mnist.npz": (tmp_path / "mnist.npz").read_bytes()}
    else:
        names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
        server.files = {name: idx(array) for name, array in zip(names, arrays, strict=True)}
    assert set(server.files) == set(request.param.FILES)
    sums = {name: "sha256:" + hashlib.sha256(content).hexdigest() for name, content in server.files.items()}
    monkeypatch.setattr(request.param, "FILES", sums)
    return request.param


def cached(folder):
    return [file for file in (folder / "cache").rglob("*") if file.is_file()]


def assert_same(loaded, arrays):
    for found, array in zip([array for part in loaded for array in part], arrays, strict=True):
        np.testing.assert_array_equal(found, array, strict=True)


def test_downloaded_once_then_from_the_cache(dataset, server, arrays, tmp_path):
    assert_same(dataset.load_data(), arrays)
    assert {file.name for file in cached(tmp_path)} == set(server.files)
    assert sorted(server.requests) == sorted(server.files)
    server.files = {}
    assert_same(dataset.load_data(), arrays)
    assert sorted(server.requests) == sorted(dataset.FILES)


def test_cached_files_need_no_server(dataset, arrays, monkeypatch):
    assert_same(dataset.load_data(), arrays)
    monkeypatch.setattr(download, "BASE_URL", "http://127.0.0.1:9/")
    assert_same(dataset.load_data(), arrays)


def test_wrong_checksum_leaves_no_file(dataset, server, tmp_path):
    name = next(iter(server.files))
    server.files[name] += b"x"
    with pytest.raises(
        DatasetError, match=rf"{server.url}{name} sends is not .* as published.*expected sha256:.*path="
    ):
        dataset.load_data()
    assert cached(tmp_path) == []


def test_missing_on_the_server(dataset, server, tmp_path):
    server.files = {}
    with pytest.raises(ConnectionError, match=r"could not download.*404.*without a network, put .* into .*path="):
        dataset.load_data()
    assert cached(tmp_path) == []


def test_server_that_hangs_up_midway(dataset, server, arrays, tmp_path):
    server.cut = {list(server.files)[-1]}
    with pytest.raises(ConnectionError, match="the network or the server failed"):
        dataset.load_data()
    assert {file.name for file in cached(tmp_path)} == set(server.files) - server.cut
    server.cut = set()  # whole again: what is there is kept, the rest is fetched
    assert_same(dataset.load_data(), arrays)


def test_no_network_says_where_to_put_the_files(dataset, server, arrays, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "BASE_URL", "http://127.0.0.1:9/")
    folder = download.cache_folder(dataset.__name__.rpartition(".")[2])
    with pytest.raises(ConnectionError) as error:
        dataset.load_data()
    assert f"put {', '.join(server.files)} into {folder}, or pass path=" in str(error.value)
    assert "another checksum" not in str(error.value)

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in server.files.items():
        (folder / name).write_bytes(content)
    assert_same(dataset.load_data(), arrays)

    (folder / name).write_bytes(b"something else")
    with pytest.raises(ConnectionError, match="The file there now has another checksum"):
        dataset.load_data()


def test_damaged_copy_is_fetched_again(dataset, server, arrays, tmp_path):
    dataset.load_data()
    cached(tmp_path)[0].write_bytes(b"damaged")
    assert_same(dataset.load_data(), arrays)


def test_path_needs_no_download(dataset, server, arrays, tmp_path):
    for name, content in server.files.items():
        (tmp_path / name).write_bytes(content)
    path = tmp_path / "mnist.npz" if dataset is mnist else tmp_path
    assert_same(dataset.load_data(path), arrays)
    assert_same(load(path), arrays)
    assert server.requests == []
    assert cached(tmp_path) == []


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_path_must_hold_all_four_arrays(module, tmp_path, arrays):
    np.savez(tmp_path / "part.npz", x_train=arrays[0], x_test=arrays[2])
    name = module.__name__.rpartition(".")[2]
    with pytest.raises(
        DatasetError, match=rf"{name}\.load_data: path=.*part\.npz' lacks y_train, y_test; expected all"
    ):
        module.load_data(tmp_path / "part.npz")


def test_the_cache_is_the_users():
    assert str(download.cache_folder("mnist").parent) == str(pooch.os_cache("scratchae"))


def test_without_pooch_the_extra_is_named(monkeypatch, tmp_path, arrays):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'datasets\.mnist\.load_data\(\) .* pip install "scratchae\[data\]"'):
        mnist.load_data()
    np.savez(tmp_path / "m.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))
    assert_same(mnist.load_data(tmp_path / "m.npz"), arrays)


def test_import_brings_in_neither_network_nor_archives():
    code = (
        "import sys, scratchae.datasets; "
        "print([name for name in ('pooch', 'requests', 'sklearn', 'gzip', 'zipfile') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
