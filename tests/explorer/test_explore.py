"""Writing the page: what is refused, and what the file holds."""

import base64
import json
import re

import numpy as np
import pytest

from scratchae import Input, Model, Sequential, layers
from scratchae.autoencoders import convolutional, vanilla, variational
from scratchae.explorer import explore


@pytest.fixture
def decoder():
    return vanilla.autoencoder(6, [], 3)[1]


def written(path):
    """The data in a page, its arrays decoded."""
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    data = json.loads(text)
    numbers = np.frombuffer(base64.b64decode(data["arrays"]["base64"]), "<f4")
    sizes = [int(np.prod(shape)) for shape in data["arrays"]["shapes"]]
    assert sum(sizes) == numbers.size
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return data, [part.reshape(shape) for part, shape in zip(parts, data["arrays"]["shapes"], strict=True)]


def test_the_file_holds_weights_codes_and_labels(decoder, tmp_path, rng):
    codes = rng.normal(size=(5, 3)).astype(np.float32)
    size = explore(decoder, tmp_path / "p.html", codes, [3, 1, 3, 10, 1], title="A")
    assert size == (tmp_path / "p.html").stat().st_size < 60_000
    data, arrays = written(tmp_path / "p.html")
    [dense] = data["decoder"]["layers"]
    for name, weight in zip("wb", decoder.get_weights(), strict=True):
        np.testing.assert_array_equal(arrays[dense["weights"][name]], weight)
    np.testing.assert_array_equal(arrays[data["codes"]], codes)
    assert data["labels"] == {"names": ["1", "3", "10"], "numbers": [1, 0, 1, 2, 0]}
    assert data["title"] == "A"


def test_nothing_is_fetched(decoder, tmp_path):
    explore(decoder, tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import|import\(|fetch\(", text)
    assert "default-src 'none'; script-src 'sha256-" in text


def test_shared_weights_are_there_once(tmp_path):
    shared, z = layers.Dense(4), Input((4,))
    explore(Model(z, shared(shared(z))), tmp_path / "p.html")
    data, arrays = written(tmp_path / "p.html")
    assert len(data["decoder"]["layers"]) == 2
    assert len(arrays) == 2


@pytest.mark.parametrize("N", [3, 50])
def test_components_are_those_of_the_codes(N, decoder, tmp_path, rng):
    codes = (rng.normal(size=(N, 3)) * [1, 3, 2] + 7).astype(np.float32)
    explore(decoder, tmp_path / "p.html", codes)
    data, arrays = written(tmp_path / "p.html")
    components, dimensions = data["systems"]
    v = np.stack([arrays[axis["direction"]] for axis in components["axes"]])
    np.testing.assert_allclose(v @ v.T, np.eye(min(3, N - 1)), atol=1e-6)
    coordinates = (codes - arrays[components["origin"]]) @ v.T
    np.testing.assert_allclose(np.cov(coordinates.T), np.diag(coordinates.var(axis=0, ddof=1)), atol=1e-4)
    assert (np.diff(coordinates.var(axis=0)) < 0).all()
    for k, axis in enumerate(components["axes"]):
        low, high = axis["range"]
        assert low < coordinates[:, k].min() < coordinates[:, k].max() < high
    assert [axis["name"] for axis in dimensions["axes"]] == ["z1", "z2", "z3"]
    assert dimensions["plane"] == [1, 2]  # the widest two


@pytest.mark.parametrize("codes", [None, np.ones((4, 3)), np.ones((1, 3)), np.outer(np.arange(4), [1, 2, 3])])
def test_codes_that_span_no_plane_have_no_components(codes, decoder, tmp_path):
    explore(decoder, tmp_path / "p.html", codes)
    [system] = written(tmp_path / "p.html")[0]["systems"]
    assert system["name"] == "dimensions of the code"
    assert all(low < high for low, high in (axis["range"] for axis in system["axes"]))


def test_of_many_dimensions_the_widest_are_offered(tmp_path, rng):
    decoder = convolutional.autoencoder((12, 12, 1), [4, 4, 16], (2, 2, 16))[1]
    codes = rng.normal(size=(60, 2, 2, 16)) * np.where(np.arange(64) % 2, 5, 0.1).reshape(2, 2, 16)
    explore(decoder, tmp_path / "p.html", codes)
    data, arrays = written(tmp_path / "p.html")
    components, dimensions = data["systems"]
    v = np.stack([arrays[axis["direction"]] for axis in components["axes"]])
    np.testing.assert_allclose(v @ v.T, np.eye(32), atol=1e-5)
    coordinates = (codes.reshape(60, 64) - arrays[components["origin"]]) @ v.T
    np.testing.assert_allclose(np.corrcoef(coordinates.T), np.eye(32), atol=1e-4)
    assert [axis["dimension"] for axis in dimensions["axes"]] == list(range(1, 64, 2))
    assert dimensions["axes"][0]["name"] == "z[0, 0, 1]"


@pytest.mark.parametrize(
    ("output", "sample_shape", "expected"),
    [
        ((16,), None, ("image", [4, 4, 1])),
        ((16,), (16,), ("row", [16, 1])),
        ((15,), None, ("row", [15, 1])),
        ((18,), (2, 9), ("image", [2, 9, 1])),
        ((18,), (3, 2, 3), ("image", [3, 2, 3])),
        ((9, 2), None, ("sequence", [9, 2])),
        ((2, 9, 1), None, ("image", [2, 9, 1])),
    ],
)
def test_what_samples_are_seen_as(output, sample_shape, expected, tmp_path):
    z = Input((2,))
    decoder = Model(z, layers.Reshape(output)(layers.Dense(int(np.prod(output)))(z)))
    explore(decoder, tmp_path / "p.html", sample_shape=sample_shape)
    sample = written(tmp_path / "p.html")[0]["sample"]
    assert (sample["kind"], sample["shape"]) == expected
    if expected[0] == "image":
        assert sample["range"] == [0, 1]


def test_the_range_of_values(decoder, tmp_path, rng):
    codes = rng.normal(size=(30, 3)).astype(np.float32)
    explore(decoder, tmp_path / "p.html", codes)
    values = decoder.predict(codes, verbose=0)
    low, high = written(tmp_path / "p.html")[0]["sample"]["range"]
    assert (low, high) == pytest.approx((values.min(), values.max()))
    explore(decoder, tmp_path / "p.html", codes, value_range=(0, 255))
    assert written(tmp_path / "p.html")[0]["sample"]["range"] == [0, 255]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: np.zeros(3), "is a ndarray; expected a model"),
        (lambda: Sequential(), "has 0 inputs and 0 outputs; expected a decoder with one of each"),
        (lambda: variational.autoencoder(6, [], 3)[0], "has 1 inputs and 3 outputs"),
        (lambda: variational.autoencoder(6, [], 3)[2], r"Sampling\('sampling'\), which the page can't run"),
        (
            lambda: convolutional.autoencoder((12, 12, 2), [2] * 3, (2, 2, 2))[1],
            r"samples of shape \(12, 12, 2\) can't",
        ),
    ],
)
def test_what_is_no_decoder_is_refused(make, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        explore(make(), tmp_path / "p.html")


CODES = np.zeros((4, 3))
NONSENSE = [
    ({"path": "p.txt"}, r"path='p\.txt' must end in \.html"),
    ({"path": "no/p.html"}, "there is no folder no; make it first"),
    ({"codes": np.zeros((4, 2))}, r"codes has shape \(4, 2\); the decoder takes \(None, 3\)"),
    ({"codes": np.zeros(3)}, r"codes has shape \(3,\)"),
    ({"codes": np.zeros((0, 3))}, "is empty"),
    ({"codes": CODES * np.nan}, r"codes\[0, 0\] is nan"),
    ({"codes": (CODES, CODES, CODES)}, r"take the mean: \[1\]"),
    ({"labels": [1]}, "labels without codes"),
    ({"codes": CODES, "labels": [1, 2, 3]}, r"labels has shape \(3,\); expected \(4,\)"),
    ({"codes": np.zeros((101, 3)), "labels": range(101)}, "101 different values; expected at most 100"),
    ({"sample_shape": (2, 2)}, r"sample_shape=\(2, 2\) has 4 numbers; the decoder makes \(6,\)"),
    ({"sample_shape": (1, 1, 6, 1)}, r"can't be drawn"),
    ({"sample_shape": 6}, "is a int; expected a list or tuple"),
    ({"value_range": 255}, r"value_range=255 must be two numbers, such as \(0, 255\), or None"),
    ({"value_range": (1, 1)}, r"value_range\[1\]=1 is out of range"),
    ({"title": 5}, "title=5 is a int; expected a string"),
]


@pytest.mark.parametrize(("arguments", "message"), NONSENSE)
def test_nonsense_is_refused_and_nothing_is_written(arguments, message, decoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        explore(**{"decoder": decoder, "path": "p.html", **arguments})
    assert list(tmp_path.iterdir()) == []
