import numpy as np
import pytest

import scratchae
from scratchae import config, layers


@pytest.mark.parametrize("value", ["float16", "double", 32, None])
def test_float_types_are_two(value):
    with pytest.raises(ValueError, match="is not a float type of this library: use 'float32' or 'float64'"):
        scratchae.set_floatx(value)
    assert scratchae.floatx() == "float32"


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_seeds_are_integers(seed):
    with pytest.raises(ValueError, match="must be an integer of at least 0"):
        scratchae.set_random_seed(seed)


def test_devices_are_named():
    with pytest.raises(ValueError, match="device='tpu' is not there: use one of 'reference'"):
        scratchae.set_device("tpu")


def test_each_layer_draws_from_a_seed_of_its_own():
    scratchae.set_random_seed(np.int64(3))
    first = [layers.Dense(4) for _ in range(2)]
    scratchae.set_random_seed(3)
    again = [layers.Dense(4) for _ in range(2)]
    for layer in (*first, *again):
        layer(layers.Input((5,)))
    kernels = [layer.get_weights()[0] for layer in (*first, *again)]
    np.testing.assert_array_equal(kernels[0], kernels[2])
    np.testing.assert_array_equal(kernels[1], kernels[3])
    assert np.any(kernels[0] != kernels[1])


def test_names_count_up_and_begin_anew():
    assert [config.unique_name("dense") for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    scratchae.clear_session()
    assert config.unique_name("dense") == "dense"
