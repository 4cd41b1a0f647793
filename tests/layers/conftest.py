import pytest


@pytest.fixture(autouse=True)
def every_test_in_float64(float64):
    """These compare with formulas and differences."""
