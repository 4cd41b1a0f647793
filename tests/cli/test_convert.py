"""scratchae convert: the same model in every format, and a word about what a format has no place for."""

import os

import numpy as np
import pytest

import scratchae
from scratchae import cli
from scratchae.autoencoders import vanilla, variational
from scratchae.cli.common import save_auto

pytest.importorskip("h5py")
pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def on_reference(fresh_session):
    scratchae.set_device("reference")


@pytest.fixture
def x(rng):
    return rng.random((20, 9), dtype=np.float32)


@pytest.fixture
def here(x, tmp_path, monkeypatch):
    """A folder with m.safetensors, as `scratchae train` leaves it, and one.safetensors, a model without parts."""
    monkeypatch.chdir(tmp_path)
    _, _, auto = vanilla.autoencoder(9, [5], 2)
    auto.fit(x, x, 8, epochs=2, verbose=0)
    save_auto(tmp_path / "m.safetensors", auto, "vanilla", (3, 3))
    vanilla.autoencoder(9, [], 2)[0].save("one.safetensors")
    return tmp_path


def convert(*arguments):
    return cli.main(["convert", *map(str, arguments)])


def assert_same(a, b, x, trains=True):
    np.testing.assert_array_equal(a.predict(x), b.predict(x))
    if trains:  # from the moments that the optimizer had
        assert [a.train_on_batch(x, x) for _ in range(3)] == [b.train_on_batch(x, x) for _ in range(3)]


def test_around_all_formats(here, x, capsys):
    """.weights.h5 brings the moments along, though the loss and the layers come from another file."""
    assert convert("m.safetensors", "m.keras") == 0
    assert convert("m.keras", "m.weights.h5") == 0
    assert convert("m.weights.h5", "again.safetensors", "--model", "m.keras") == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote m.keras; left out: history, random seeds, notes of scratchae train",
        "wrote m.weights.h5; left out: layers, loss",
        "wrote again.safetensors: the weights of m.weights.h5 in the layers of m.keras",
    ]
    first, again = scratchae.load_model("m.safetensors"), scratchae.load_model("again.safetensors")
    assert again.history is None
    assert_same(scratchae.load_model("m.keras"), scratchae.load_model("again.safetensors"), x)
    assert_same(first, again, x)


def test_a_copy_keeps_all(here, capsys):
    assert convert("m.safetensors", "copy.safetensors") == 0
    assert capsys.readouterr().out == "wrote copy.safetensors\n"
    first, copy = (scratchae.load_model(name) for name in ("m.safetensors", "copy.safetensors"))
    assert first.history.history == copy.history.history
    assert scratchae.files.read_notes("copy.safetensors") == {"kind": "vanilla", "sample_shape": [3, 3]}


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_parts_of_an_autoencoder(part, ending, here, x, capsys):
    assert convert("m.safetensors", f"part{ending}", "--part", part) == 0
    seeds = ", random seeds" if ending == ".keras" else ""
    left = f"left out: loss, optimizer, history{seeds}, notes of scratchae train"
    assert capsys.readouterr().out == f"wrote part{ending}; {left}\n"
    encoder, decoder, auto = scratchae.load("m.safetensors")
    model = encoder if part == "encoder" else decoder
    data = x if part == "encoder" else encoder.predict(x)
    assert_same(scratchae.load_model(f"part{ending}"), model, data, trains=False)


def test_the_encoder_of_a_keras_file_as_onnx(here, x, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    assert convert("m.safetensors", "m.keras") == 0
    assert convert("m.keras", "encoder.onnx", "--part", "encoder") == 0
    assert "wrote encoder.onnx; left out: loss, optimizer\n" in capsys.readouterr().out
    session = onnxruntime.InferenceSession("encoder.onnx")
    [codes] = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(codes, scratchae.load("m.safetensors")[0].predict(x), atol=1e-6)


def test_weights_for_a_model_that_was_trained_otherwise(here, x):
    """Of --model only the layers and how they were compiled are taken: its moments belong to other weights."""
    _, _, auto = vanilla.autoencoder(9, [5], 2)
    auto.save_weights("w.safetensors")
    assert convert("w.safetensors", "fresh.safetensors", "--model", "m.safetensors") == 0
    fresh = scratchae.load_model("fresh.safetensors")
    assert fresh.optimizer.iterations == 0
    assert_same(fresh, auto, x)


def test_a_variational_autoencoder(here, rng, capsys):
    x = rng.random((6, 7), dtype=np.float32)
    _, _, auto = variational.autoencoder(7, [5], 2)
    auto.save("v.safetensors")
    for source, target in (("v.safetensors", "v.keras"), ("v.keras", "w.safetensors"), ("v.keras", "v.onnx")):
        assert convert(source, target) == 0
    assert "wrote w.safetensors\n" in capsys.readouterr().out
    np.testing.assert_array_equal(
        scratchae.load("w.safetensors")[0].predict(x)[1], scratchae.load("v.safetensors")[0].predict(x)[1]
    )


NONSENSE = [
    (["m.safetensors", "./m.safetensors"], "SOURCE and TARGET are the same file, m.safetensors"),
    (["m.safetensors", "m.h5"], "TARGET m.h5 has no ending that is known; expected one of .safetensors, .keras, .weig"),
    (["m.pkl", "m.keras"], "SOURCE m.pkl has no ending that is known"),
    (["m.onnx", "m.keras"], "m.onnx: ONNX files are only written; convert the file that it was made from"),
    (["w.weights.h5", "m.keras"], "w.weights.h5 holds weights alone; add --model FILE"),
    (["nothing.keras", "m.keras"], "nothing.keras"),
    (["nothing.safetensors", "m.keras"], "nothing.safetensors"),
    (["m.safetensors", "no/m.keras"], "there is no folder no; make it first"),
    (
        ["one.safetensors", "m.keras", "--part", "decoder"],
        "one.safetensors holds one model, and no encoder and decoder",
    ),
    (["one.safetensors", "x.keras", "--model", "m.safetensors"], "expected"),
]


@pytest.mark.parametrize(("arguments", "message"), NONSENSE)
def test_nonsense_is_one_line_and_changes_nothing(arguments, message, here, capsys):
    before = {path: path.read_bytes() for path in here.iterdir()}
    assert convert(*arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert {path: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.parametrize("ending", [".safetensors", ".keras", ".weights.h5", ".onnx"])
def test_what_was_there_is_replaced_by_a_whole_file_only(ending, here, monkeypatch, capsys):
    target = here / f"target{ending}"
    target.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
        assert convert("m.safetensors", target) == 1
    assert "disk full" in capsys.readouterr().err
    assert target.read_bytes() == b"old"
    assert convert("m.safetensors", target) == 0
    assert target.stat().st_size > 1000
    assert {path.name for path in here.iterdir()} == {"m.safetensors", "one.safetensors", target.name}


@pytest.mark.parametrize("name", ["m.safetensors", "m.keras", "m.weights.h5"])
def test_damaged_sources_are_refused(name, here, capsys):
    if name != "m.safetensors":
        convert("m.safetensors", name)
    (here / name).write_bytes((here / name).read_bytes()[:-99])
    model = ["--model", "m.safetensors"] if name == "m.weights.h5" else []
    assert convert(name, "target.onnx", *model) == 1
    assert name in capsys.readouterr().err
    assert not (here / "target.onnx").exists()
