"""Weights on disk: whole or not at all, and only into the model they belong to."""

import os

import numpy as np
import pytest

from scratchae import files
from scratchae.autoencoders import recurrent, vanilla


def test_weights_come_back_with_the_same_bits(tmp_path):
    _, _, auto = recurrent.autoencoder(5, 3, 4)
    auto.save_weights(tmp_path / "w.safetensors")
    _, _, twin = recurrent.autoencoder(5, 3, 4)
    twin.load_weights(str(tmp_path / "w.safetensors"))
    for a, b in zip(auto.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_than_ten_arrays_keep_their_order(tmp_path):
    _, _, auto = vanilla.autoencoder(4, [4] * 6, 4)
    auto.save_weights(tmp_path / "w.safetensors")
    before = auto.get_weights()
    auto.set_weights([w * 0 for w in before])
    auto.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(auto.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_another_model_change_nothing(tmp_path):
    vanilla.autoencoder(6, [5], 2)[2].save_weights(tmp_path / "w.safetensors")
    _, _, other = vanilla.autoencoder(6, [4], 2)
    before = other.get_weights()
    with pytest.raises(ValueError, match="These are the weights of another model"):
        other.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_damaged_and_missing_files_are_refused(tmp_path):
    _, _, auto = vanilla.autoencoder(6, [5], 2)
    path = tmp_path / "w.safetensors"
    auto.save_weights(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"w\.safetensors is damaged, or no file of scratchae"):
        auto.load_weights(path)
    with pytest.raises(FileNotFoundError):
        auto.load_weights(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match=r"path='w\.h5' must end in \.safetensors"):
        auto.save_weights("w.h5")


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
