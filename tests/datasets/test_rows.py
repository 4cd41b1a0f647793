import os
import subprocess
import sys

import numpy as np
import pytest

from scratchae.autoencoders import vanilla
from scratchae.datasets.rows import Scaled


@pytest.fixture
def data(rng):
    return rng.integers(0, 256, (30, 6), dtype=np.uint8)


def test_rows_are_read_as_floats(data):
    x = Scaled(data, 1 / 255)
    rows = np.array([3, 1, 7])
    np.testing.assert_array_equal(x[rows], data[rows].astype(np.float32) * np.float32(1 / 255))
    np.testing.assert_array_equal(np.asarray(x[5:9]), x[np.arange(5, 9)])
    np.testing.assert_array_equal(np.asarray(x.reshape(30, 2, 3))[4], x[4].reshape(2, 3))
    assert (x.shape, x.ndim, len(x), x.dtype) == ((30, 6), 2, 30, np.float32)
    assert np.shares_memory(x[2:].array, data)


def test_a_model_trains_on_them_as_on_an_array(data):
    a, b = vanilla.autoencoder(6, [4], 2)[2], vanilla.autoencoder(6, [4], 2)[2]
    b.set_weights(a.get_weights())
    x, plain = Scaled(data, 1 / 255), data.astype(np.float32) * np.float32(1 / 255)
    options = {"epochs": 2, "validation_split": 0.2, "shuffle": False, "verbose": 0}
    assert a.fit(x, x, **options).history == b.fit(plain, plain, **options).history
    np.testing.assert_array_equal(a.predict(x), b.predict(plain))
    assert a.evaluate(x, x) == b.evaluate(plain, plain)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory from Linux")
def test_a_million_images_train_in_less_than_500_mb(tmp_path):
    """784 MB of bytes on disk, a sparse file; resident memory counts mapped pages, too."""
    file = tmp_path / "x.npy"
    np.lib.format.open_memmap(file, "w+", np.uint8, (1_000_000, 784)).flush()
    code = r"""
import re, sys, numpy as np
from scratchae.autoencoders import vanilla
from scratchae.datasets import load
from scratchae.datasets.rows import Scaled
(x, _), _ = load(sys.argv[1])
x = Scaled(x, 1 / 255)
auto = vanilla.autoencoder(784, [], 4)[2]
auto.fit(x, x, batch_size=1024, steps_per_epoch=60, verbose=0)  # rows from all over the file
print(int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 500, run.stdout
