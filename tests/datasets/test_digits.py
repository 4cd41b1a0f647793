import numpy as np
from sklearn.datasets import load_digits

from scratchae.datasets import digits


def test_shapes_are_those_of_keras_mnist():
    (x, y), (x_test, y_test) = digits.load_data()
    assert x.shape == (1500, 28, 28)
    assert x_test.shape == (297, 28, 28)
    assert x.dtype == y.dtype == np.uint8
    assert y.shape == (1500,)
    assert y_test.shape == (297,)
    assert set(np.unique(y)) == set(range(10))
    assert (x.min(), x.max()) == (0, 255)


def test_enlarged_images_show_the_same_digit():
    """Averaged back over each old pixel's area, they are the images that they came from, a little smoothed."""
    (x, _), _ = digits.load_data()
    small = load_digits().images[:1500] * (255 / 16)
    back = x.reshape(1500, 28, 28)[:, 1::7, 1::7].astype(float)  # pixel centres 1.5/3.5, 8.5/3.5, ... of the old grid
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(back, small[:, ::2, ::2], strict=True)]
    assert np.mean(correlations) > 0.95


def test_enlarging_keeps_lines_straight():
    n = 8
    ramp = np.broadcast_to(np.arange(n, dtype=float), (1, n, n))
    wide = digits.enlarge(ramp, 28)[0]
    expected = np.clip((np.arange(28) + 0.5) * n / 28 - 0.5, 0, n - 1)
    np.testing.assert_allclose(wide, np.broadcast_to(expected, (28, 28)), atol=1e-12)
    np.testing.assert_allclose(digits.enlarge(ramp.transpose(0, 2, 1), 28)[0], wide.T, atol=1e-12)
