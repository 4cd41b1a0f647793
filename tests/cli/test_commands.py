"""Every command on a trained model, as its --help shows it, and with nonsense."""

import json
import shlex
from argparse import Namespace

import numpy as np
import pytest

import scratchae
from scratchae import cli
from scratchae.cli.common import load_saved
from scratchae.datasets import digits

VANILLA, VARIATIONAL = "runs/vanilla/model.safetensors", "runs/variational/model.safetensors"
COMMANDS = [
    "train",
    "evaluate",
    "encode",
    "decode",
    "reconstruct",
    "sample",
    "interpolate",
    "plot",
    "convert",
    "summary",
    "gradcheck",
    "info",
    "warmup",
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """runs/KIND/model.safetensors of the kinds that the examples name, in a folder of their own."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        (x, y), test = digits.load_data()
        patch.setattr(digits, "load_data", lambda: ((x[:200], y[:200]), test))
        for kind, extra in (("vanilla", ["--hidden", "", "--latent", "4"]), ("variational", ["--hidden", "16"])):
            assert cli.main(["train", kind, *extra, "--epochs", "2", "--out", str(folder / "runs" / kind)]) == 0
    return folder


@pytest.fixture
def here(models, monkeypatch):
    monkeypatch.chdir(models)
    return models


@pytest.fixture
def vanilla(here):
    return load_saved(Namespace(model=VANILLA))


@pytest.fixture
def x():
    return digits.load_data()[1][0].reshape(30, 784) / np.float32(255)


def run(*arguments):
    return cli.main(list(map(str, arguments)))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_help_run(command, here, capsys):
    with pytest.raises(SystemExit):
        run(command, "--help")
    text = capsys.readouterr().out
    examples = [line.strip() for line in text.split("example:\n")[1].splitlines() if line.startswith("  scratchae ")]
    assert examples
    for line in examples:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "train":
            arguments = [*arguments, "--epochs", "1"]
        assert run(*arguments) == 0, line


def test_evaluate_tells_loss_and_error(vanilla, x, capsys):
    assert run("evaluate", VANILLA, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["samples"] == 30
    assert values["loss"] == pytest.approx(vanilla.auto.evaluate(x, x), rel=1e-5)
    assert values["mean_squared_error"] == pytest.approx(np.mean((vanilla.auto.predict(x) - x) ** 2), rel=1e-4)
    run("evaluate", VANILLA, "--part", "train")
    assert capsys.readouterr().out.startswith("samples: 120\nloss: 0.")


def test_encode_decode_and_reconstruct_agree_with_predict(vanilla, x, capsys, tmp_path):
    codes, decoded, copies = tmp_path / "c.npy", tmp_path / "d.npy", tmp_path / "r.npy"
    assert run("encode", VANILLA, "-o", codes) == 0
    assert run("decode", VANILLA, codes, "-o", decoded) == 0
    assert run("reconstruct", VANILLA, "-o", copies, "--picture", tmp_path / "r.png") == 0
    np.testing.assert_allclose(np.load(codes), vanilla.encoder.predict(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.load(decoded), vanilla.auto.predict(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.load(copies), np.load(decoded))
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert f"wrote {codes}, float32 (30, 4)" in capsys.readouterr().out


def test_variational_codes_are_the_means(here, x, tmp_path):
    run("encode", VARIATIONAL, "-o", tmp_path / "a.npy")
    run("encode", VARIATIONAL, "-o", tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    encoder = scratchae.load(VARIATIONAL)[0]
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), encoder.predict(x)[1], rtol=1e-5, atol=1e-6)


def test_samples_depend_on_the_seed_alone(here, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("sample", VARIATIONAL, "-n", 5, "--seed", seed, "-o", tmp_path / f"{name}.npy") == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.shape == (5, 784)
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)


@pytest.mark.parametrize(
    "picture", ["reconstructions", "denoising", "loss", "latent", "grid", "filters", "activations"]
)
def test_every_picture_is_drawn(picture, here, tmp_path):
    assert run("plot", picture, VARIATIONAL, "-o", tmp_path / "p.png") == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_summary_for_programs(here, capsys):
    run("summary", VANILLA, "--json")
    description = json.loads(capsys.readouterr().out)
    assert description["kind"] == "vanilla"
    assert description["parameters"] == 784 * 4 + 4 + 4 * 784 + 784
    assert [w["shape"] for w in description["weights"]] == [[784, 4], [4], [4, 784], [784]]


def test_info_lists_devices_and_what_is_missing(capsys, monkeypatch):
    from scratchae.cli import describe

    version = describe.version
    monkeypatch.setattr(describe, "version", lambda package: None if package == "pooch" else version(package))
    assert run("info") == 0
    out = capsys.readouterr().out
    assert "device reference: NumPy, float32 and float64, whole batches" in out
    assert "device cpu: Numba" in out
    assert out.count("(default)") == 1
    assert "pooch: missing; needed for downloading mnist and fashion_mnist: scratchae[data]" in out
    run("info", "--json")
    assert json.loads(capsys.readouterr().out)["packages"]["numpy"] == np.__version__


def test_gradcheck_fails_with_status_1(capsys, monkeypatch):
    from scratchae.kernels import reference

    assert run("gradcheck", "vanilla") == 0
    right = reference.dense_backward
    monkeypatch.setattr(reference, "dense_backward", lambda dx, dw, db, dy, *rest: right(dx, dw, db, dy * 1.001, *rest))
    assert run("gradcheck", "vanilla") == 1
    assert "vanilla: WRONG: dense" in capsys.readouterr().out


NONSENSE = [
    (["evaluate", "nothing.safetensors"], "nothing.safetensors"),
    (["evaluate", "model.h5"], "must end in .safetensors"),
    (["encode", VANILLA, "--data", "nothing.npy"], "nothing.npy"),
    (["encode", VANILLA, "-o", "codes.txt"], "arrays are written as .npy"),
    (["encode", VANILLA, "-o", "no/codes.npy"], "no/codes.npy: there is no folder no; make it first"),
    (["decode", VANILLA, "wrong.npy"], "expected (samples, 4)"),
    (["encode", VANILLA, "--data", "wrong.npy"], "--data has samples of shape (7,); the model takes (784,)"),
    (["sample", VANILLA], "sample needs a variational autoencoder"),
    (["sample", VARIATIONAL, "-n", "0"], "-n 0 is too small"),
    (["interpolate", VANILLA, "--second", "99"], "--second 99 is out of range; the data has test samples 0 to 29"),
    (["plot", "grid", VANILLA], "(None, 4)"),
    (["plot", "loss", VANILLA, "-o", "p.jpg"], "pictures are written as .png"),
    (["gradcheck", "carrot"], "'carrot' is unknown; expected some of vanilla"),
]


@pytest.mark.parametrize(("arguments", "message"), NONSENSE)
def test_errors_are_one_line_and_status_1(arguments, message, here, capsys):
    np.save("wrong.npy", np.zeros((20, 7), np.float32))
    before = set(here.iterdir())
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert set(here.iterdir()) == before


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:50], lambda b: b"", lambda b: b"PK\x03\x04" + b[4:]])
def test_damaged_models_are_refused(damage, here, capsys, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(damage((here / VANILLA).read_bytes()))
    assert run("summary", path) == 1
    assert "m.safetensors is damaged, or no file of scratchae: " in capsys.readouterr().err
