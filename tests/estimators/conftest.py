import numba
import pytest


@pytest.fixture(autouse=True)
def one_thread(fresh_session):
    """The networks here are so small that further threads would only wait."""
    numba.set_num_threads(1)


@pytest.fixture
def X(rng):  # noqa: N802
    """Forty rows near a plane in seven dimensions, standardized."""
    rows = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 7)) + 0.1 * rng.normal(size=(40, 7))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)
