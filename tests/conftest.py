import numpy as np
import pytest

import scratchae


@pytest.fixture(autouse=True)
def fresh_session():
    """Each test starts with the same seed, names and float type, and leaves no settings behind."""
    scratchae.set_random_seed(7)
    scratchae.clear_session()
    yield
    scratchae.set_floatx("float32")
    scratchae.set_device("reference")


@pytest.fixture
def float64():
    """Layers compute in float64, for comparisons that are to be tight."""
    scratchae.set_floatx("float64")


@pytest.fixture
def rng():
    return np.random.default_rng(42)
