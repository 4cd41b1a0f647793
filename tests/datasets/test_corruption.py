import numpy as np
import pytest

from scratchae.datasets import corrupt


@pytest.fixture
def x(rng):
    return rng.uniform(0.2, 0.8, (200, 50)).astype("float32")


def test_gaussian_noise_has_its_spread_and_stays_in_range(x):
    noisy = corrupt(x, "gaussian", 0.05, seed=0)
    assert np.std(noisy - x) == pytest.approx(0.05, rel=0.05)
    strong = corrupt(x, "gaussian", 2.0, seed=0)
    assert (strong.min(), strong.max()) == (0, 1)


def test_masking_sets_a_fraction_to_zero_and_leaves_the_rest(x):
    noisy = corrupt(x, "masking", 0.3, seed=0)
    changed = noisy != x
    assert changed.mean() == pytest.approx(0.3, abs=0.02)
    assert not np.any(noisy[changed])


def test_salt_and_pepper_are_there_in_equal_parts(x):
    noisy = corrupt(x, "salt_and_pepper", 0.4, seed=0)
    assert np.mean(noisy == 0) == pytest.approx(0.2, abs=0.02)
    assert np.mean(noisy == 1) == pytest.approx(0.2, abs=0.02)
    assert np.mean(noisy == x) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt_and_pepper"])
def test_the_seed_decides_and_the_data_stays(kind, x):
    before = x.copy()
    first = corrupt(x, kind, 0.3, seed=1)
    np.testing.assert_array_equal(first, corrupt(x, kind, 0.3, seed=1))
    assert np.any(first != corrupt(x, kind, 0.3, seed=2))
    np.testing.assert_array_equal(x, before)
    assert first.dtype == x.dtype


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "salt"}, ValueError, "kind='salt' is unknown; expected one of 'gaussian'"),
        ({"kind": "masking", "amount": 1.5}, ValueError, "amount=1.5 is out of range"),
        ({"amount": -1}, ValueError, "amount=-1 is out of range"),
        ({"x": np.zeros((3, 3), np.uint8)}, TypeError, "x is of type uint8; expected floats"),
        ({"x": np.full((3, 3), 255.0)}, ValueError, r"x lies in \[255, 255\]; expected \[0, 1\]"),
        ({"x": np.full((3, 3), np.nan)}, ValueError, r"expected \[0, 1\]"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        corrupt(**{"x": np.zeros((3, 3)), **arguments})
