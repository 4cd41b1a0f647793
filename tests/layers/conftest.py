import pytest

import scratchae


@pytest.fixture(autouse=True)
def reproducible_float64():
    """Layers of these tests draw the same numbers in every run, and compute in float64."""
    before = scratchae.floatx()
    scratchae.set_random_seed(0)
    scratchae.set_floatx("float64")
    yield
    scratchae.set_floatx(before)
