import pytest

from scratchae.datasets import digits


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """The digits that the commands take by default: enough to learn a little from, in a second."""
    (x, y), (x_test, y_test) = digits.load_data()
    monkeypatch.setattr(digits, "load_data", lambda: ((x[:120], y[:120]), (x_test[:30], y_test[:30])))
