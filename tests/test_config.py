import numpy as np
import pytest

import scratchae
from scratchae import config, layers
from scratchae.autoencoders import sparse


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
    with pytest.raises(ValueError, match="device='tpu' is not there: use one of 'auto', 'cpu', "):
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


def test_training_draws_nothing_from_the_global_seed(rng):
    """Whatever a model does, and in batches of any size, the layers made after it begin the same."""
    x = rng.random((9, 6))
    kernels = []
    for sizes in ([], [2], [4, 9]):
        scratchae.set_random_seed(5)
        auto = sparse.autoencoder(6, [4], 2, 0.1)[2]
        for size in sizes:
            auto.fit(x, x, batch_size=size, verbose=0)
            auto.predict(x, batch_size=size)
            scratchae.gradcheck.check(auto, x, x)
        layer = layers.Dense(3)
        layer(layers.Input((2,)))
        kernels.append(layer.get_weights()[0])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])


def test_a_layer_may_have_a_seed_of_its_own(rng):
    x = rng.random((4, 50))
    outputs = []
    for seed in (1, 1, 2):
        inputs = layers.Input((50,))
        model = scratchae.Model(inputs, layers.Dense(50, seed=seed)(inputs))
        outputs.append(model.predict(x))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.any(outputs[0] != outputs[2])


def test_what_is_made_in_a_session_of_its_own_depends_on_its_seed_alone_and_leaves_no_trace():
    def kernel():
        layer = layers.Dense(3)
        layer(layers.Input((2,)))
        return layer.name, layer.get_weights()[0]

    scratchae.set_random_seed(5)
    _, expected = kernel()
    scratchae.clear_session()
    inside = []
    for seed in (1, 2):
        scratchae.set_random_seed(5)
        scratchae.set_floatx("float64" if seed == 2 else "float32")
        with config.own_session(7):
            inside.append(kernel())
            with pytest.raises(KeyError), config.own_session(8):
                raise KeyError
            assert kernel()[0] == "dense_1"
    assert scratchae.floatx() == "float64"
    scratchae.set_floatx("float32")
    assert inside[0][0] == inside[1][0] == "dense"
    assert inside[0][1].dtype == np.float32
    np.testing.assert_array_equal(inside[0][1], inside[1][1])
    name, outside = kernel()
    assert name == "dense"
    np.testing.assert_array_equal(outside, expected)
