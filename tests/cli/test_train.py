"""The command line as a newcomer runs it."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import scratchae
from scratchae import cli, layers, training
from scratchae.autoencoders import vanilla
from scratchae.cli.common import KINDS

FILES = {"model.safetensors", "history.csv", "loss.png", "reconstructions.png"}


@pytest.mark.parametrize("kind", KINDS)
def test_train_writes_model_history_and_pictures(kind, tmp_path, capsys):
    assert cli.main(["train", kind, "--epochs", "2", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES
    out = capsys.readouterr().out
    before, after = (float(line.split()[-1]) for line in out.splitlines() if line.startswith("validation loss"))
    assert after < before
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    if kind != "variational":  # whose evaluation draws anew
        assert float(rows[-1]["val_loss"]) == pytest.approx(after, abs=1e-4)
    for name in ("loss.png", "reconstructions.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_model_file_holds_what_was_trained(tmp_path):
    arguments = ["train", "vanilla", "--hidden", "", "--latent", "5", "--epochs", "1", "--seed", "3"]
    cli.main([*arguments, "--out", str(tmp_path / "a")])
    cli.main([*arguments, "--out", str(tmp_path / "b")])
    first, second = vanilla.autoencoder(784, [], 5)[2], vanilla.autoencoder(784, [], 5)[2]
    first.load_weights(tmp_path / "a" / "model.safetensors")
    second.load_weights(tmp_path / "b" / "model.safetensors")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_denoising_model_sees_masked_inputs(tmp_path):
    """Its weights go into an ordinary autoencoder's file, and differ from those of one that saw clean inputs."""
    weights = []
    for name, noise in (("clean", "0"), ("noisy", "0.5")):
        cli.main(["train", "vanilla", "--noise", noise, "--epochs", "1", "--out", str(tmp_path / name)])
        weights.append(scratchae.load(tmp_path / name / "model.safetensors")[2].get_weights())
    assert np.any(weights[0][0] != weights[1][0])


def test_data_of_a_file_trains(tmp_path, rng):
    data = tmp_path / "faces.npy"
    np.save(data, rng.integers(0, 256, (60, 12, 12), dtype=np.uint8))
    assert cli.main(["train", "convolutional", "--filters", "3,2,2", "--data", str(data), "--out", str(tmp_path)]) == 0
    encoder, _, auto = scratchae.load(tmp_path / "model.safetensors")
    assert [layer.filters for layer in encoder.layers if isinstance(layer, layers.Conv2D)] == [3, 2, 2]
    assert auto.input_shape == auto.output_shape == (None, 12, 12, 1)
    assert len(auto.history.history["loss"]) == 10


def test_sequences_of_a_file_train(tmp_path, rng):
    data = tmp_path / "waves.npz"
    np.savez(data, rng.random((40, 6, 2)))
    assert (
        cli.main(["train", "recurrent", "--latent", "3", "--epochs", "1", "--data", str(data), "--out", str(tmp_path)])
        == 0
    )
    encoder, _, auto = scratchae.load(tmp_path / "model.safetensors")
    assert (auto.input_shape, encoder.output_shape) == ((None, 6, 2), (None, 3))


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C before a step of that number, counted over all that is trained."""
    step, count = training.train_step, []

    def interrupt(number):
        def interrupted(*arguments):
            count.append(1)
            if len(count) == number:
                raise KeyboardInterrupt
            return step(*arguments)

        monkeypatch.setattr(training, "train_step", interrupted)

    return interrupt


def test_ctrl_c_keeps_what_was_learned(tmp_path, capsys, interrupt):
    interrupt(6)
    assert cli.main(["train", "vanilla", "--out", str(tmp_path)]) == 1
    assert "interrupted after 5 steps" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "backup"}


def test_resume_ends_with_the_same_files(tmp_path, capsys, interrupt):
    arguments = ["train", "variational", "--noise", "0.1", "--epochs", "3", "--device", "reference"]

    def run(*more):
        scratchae.clear_session()  # each is a process of its own
        return cli.main([*arguments, *more])

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run("--out", str(whole), "--resume") == 0  # there is nothing yet: it begins
    interrupt(7)  # in the second epoch of four steps
    assert run("--out", str(broken)) == 1
    half = (broken / "model.safetensors").read_bytes()
    capsys.readouterr()
    for more, message in (
        ([], f"was broken off after epoch 1: --resume goes on with it; to begin anew, delete {broken / 'backup'}"),
        (["--resume", "--seed", "4"], "--seed was 0 and is 4. Run the program as it was"),
        (
            ["--resume", "--latent", "3"],
            "the autoencoder was variational [784, [512], 2] and is variational [784, [512], 3]",
        ),
        (["--resume", "--learning-rate", "0.1"], "--learning-rate was 0.001 and is 0.1"),
    ):
        assert run("--out", str(broken), *more) == 1
        assert message in capsys.readouterr().err
    assert (broken / "model.safetensors").read_bytes() == half
    assert run("--out", str(broken), "--resume") == 0
    assert "going on after epoch 1" in capsys.readouterr().out
    for name in FILES:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert {path.name for path in broken.iterdir()} == FILES
    assert run("--out", str(broken), "--resume") == 1
    assert "has come to its end: without --resume it begins anew" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "convolutional", "--hidden", "8"], "takes --filters"),
        (["train", "vanilla", "--filters", "8"], "takes --hidden and --latent"),
        (["train", "recurrent", "--hidden", "8"], "takes --latent, not --hidden"),
        (["train", "vanilla", "--latent", "0"], "latent_dims=0 is too small"),
        (["train", "vanilla", "--epochs", "-1"], "epochs=-1 must be an integer of at least 0"),
        (["train", "vanilla", "--batch-size", "0"], "batch_size=0 is too small"),
        (["train", "vanilla", "--learning-rate", "-1"], "learning_rate=-1.0 is out of range"),
        (["train", "vanilla", "--device", "abacus"], "device='abacus' is not there: use one of 'auto', 'cpu', "),
        (["train", "convolutional", "--filters", "8"], "no size is reproduced"),
        (["train", "vanilla", "--data", "nothing.npy"], "nothing.npy"),
        (["train", "vanilla", "--noise", "1"], "rate=1.0 is out of range"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, message, tmp_path, capsys):
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["train"], ["train", "carrot"], ["train", "vanilla", "--hidden", "a"]]
)
def test_misuse_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: scratchae" in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--help"])
    assert exit_.value.code == 0
    assert "scratchae train convolutional --epochs 20" in capsys.readouterr().out


def test_python_m_scratchae_is_the_same():
    run = subprocess.run([sys.executable, "-m", "scratchae", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("scratchae 0.")
