"""Rows that are images or sequences, and rows that are drawn."""

import numpy as np
import pytest

from scratchae.estimators import ConvolutionalAutoencoder, RecurrentAutoencoder, VariationalAutoencoder
from scratchae.estimators.convolutional import reproduced_side


def laid_out(features, **options):
    """What a row 1, 2, 3, ... becomes, and what comes back of it."""
    model = ConvolutionalAutoencoder(epochs=1, **options).fit(np.zeros((2, features)))
    row = np.arange(1.0, features + 1)[None]
    samples = model._to_samples(row, model.autoencoder_.input_shape[1:])
    return samples, model._to_rows(samples)


@pytest.mark.parametrize(
    ("features", "image_shape", "filters", "shape"),
    [
        (1, None, (2, 2, 2), (4, 4, 1)),
        (16, None, (2, 2, 2), (4, 4, 1)),
        (17, None, (2, 2, 2), (12, 12, 1)),
        (63, None, (2, 2, 2), (12, 12, 1)),
        (145, None, (2, 2, 2), (20, 20, 1)),
        (64, None, (2, 2, 2, 2), (12, 12, 1)),
        (169, None, (2, 2, 2, 2), (28, 28, 1)),
        (5 * 13, (5, 13), (2, 2, 2), (12, 20, 1)),
        (5 * 13 * 3, (5, 13, 3), (2, 2, 2), (12, 20, 3)),
        (12 * 20 * 3, (12, 20, 3), (2, 2, 2), (12, 20, 3)),
    ],
)
def test_rows_become_images_that_the_geometry_reproduces_and_come_back(features, image_shape, filters, shape):
    samples, rows = laid_out(features, image_shape=image_shape, filters=filters)
    assert samples.shape == (1, *shape)
    assert np.count_nonzero(samples) == features
    np.testing.assert_array_equal(rows, np.arange(1.0, features + 1)[None])


def test_a_row_lies_line_by_line_in_the_upper_left_corner():
    samples, _ = laid_out(7, filters=(2, 2, 2))
    expected = [[1, 2, 3, 0], [4, 5, 6, 0], [7, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(samples[0, :, :, 0], expected)


def test_images_that_fit_are_not_copied():
    X = np.random.default_rng(0).random((3, 144))
    model = ConvolutionalAutoencoder(epochs=1, image_shape=(12, 12)).fit(X)
    assert np.shares_memory(model._to_samples(X, (12, 12, 1)), X)


@pytest.mark.parametrize("filters", [3, 4, 5])
def test_sides_are_the_next_that_come_back(filters):
    for n in range(1, 100):
        side = reproduced_side(n, filters)
        code = -(-side // 2**filters)
        assert side >= n
        assert code * 2**filters - 4 == side
        assert side - 2**filters < n


def test_a_convolutional_estimator_learns_images_of_any_size(rng):
    centre = rng.integers(2, 8, (60, 2, 1, 1))
    h, w = np.arange(9)[:, None], np.arange(10)
    X = np.exp(-((h - centre[:, 0]) ** 2 + (w - centre[:, 1]) ** 2) / 4).reshape(60, 90)  # blobs on 9x10 pixels
    model = ConvolutionalAutoencoder((8, 8, 8), image_shape=(9, 10), epochs=100, learning_rate=0.01, random_state=0)
    codes = model.fit_transform(X)
    assert codes.shape == (60, 2 * 2 * 8)
    assert -model.score(X) < 0.4 * X.var(axis=0).mean()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filters": (8, 8)}, ValueError, r"filters=\(8, 8\) has 2 entries; expected three or more"),
        ({"filters": 8}, TypeError, "filters=8 is a int"),
        ({"image_shape": (9, 9)}, ValueError, r"image_shape=\(9, 9\) does not hold the 100 features of X"),
        (
            {"image_shape": (100,)},
            ValueError,
            r"image_shape=\(100,\) does not hold .* expected \(H, W\) or \(H, W, C\)",
        ),
        ({"latent_dims": (1, 1, 8)}, ValueError, r"latent_dims=\(1, 1, 8\) is not what 3 poolings make .* \(2, 2, 8\)"),
    ],
)
def test_images_that_cannot_be_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        ConvolutionalAutoencoder(epochs=1, **options).fit(np.zeros((3, 100)))


def test_the_code_s_shape_may_be_given():
    model = ConvolutionalAutoencoder((4, 4, 8), (2, 2, 8), epochs=1).fit(np.zeros((3, 100)))
    assert model.encoder_.output_shape == (None, 2, 2, 8)


def test_rows_are_sequences_step_by_step(rng):
    X = rng.random((5, 24))
    model = RecurrentAutoencoder(3, timesteps=8, epochs=1).fit(X)
    assert model.encoder_.input_shape == (None, 8, 3)
    samples = model._to_samples(X, (8, 3))
    np.testing.assert_array_equal(samples[:, 1], X[:, 3:6])
    assert np.shares_memory(samples, X)
    assert RecurrentAutoencoder(3, epochs=1).fit(X).encoder_.input_shape == (None, 24, 1)
    for timesteps, error in ((7, "timesteps=7 does not divide the 24 features"), (0, "timesteps=0 is too small")):
        with pytest.raises(ValueError, match=error):
            RecurrentAutoencoder(3, timesteps=timesteps).fit(X)


def test_a_recurrent_estimator_learns_waves_of_any_size(rng):
    phase, t = rng.uniform(0, 2 * np.pi, (80, 1)), np.arange(12)
    X = 3 * np.sin(phase + t)  # out of an LSTM's reach, (-1, 1)
    model = RecurrentAutoencoder(16, epochs=100, learning_rate=0.01, random_state=0).fit(X)
    assert -model.score(X) < 0.2 * X.var()


def test_samples_are_rows_like_those_of_the_data(rng):
    X = rng.normal(size=(300, 1)) * [1, -1, 1, 0.3] + [1, 0, 0, 2]
    model = VariationalAutoencoder((32,), 2, epochs=40, random_state=0).fit(X)
    new = model.sample(500, random_state=0)
    assert new.shape == (500, 4)
    assert np.corrcoef(new.T)[0, 1] < -0.9  # as in the data
    np.testing.assert_allclose(new.mean(axis=0), X.mean(axis=0), atol=0.2)
    np.testing.assert_array_equal(new, model.sample(500, random_state=0))
    assert np.any(model.sample(500, random_state=1) != new)
    assert model.sample().shape == (1, 4)
    with pytest.raises(ValueError, match=r"VariationalAutoencoder\.sample: n_samples=0 is too small"):
        model.sample(0)


def test_a_variational_estimator_draws_nothing_where_it_scores(X):
    model = VariationalAutoencoder((8,), 2, epochs=5, random_state=0).fit(X)
    np.testing.assert_array_equal(model.transform(X), model.transform(X))
    np.testing.assert_array_equal(model.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(model.transform(X), model.encoder_.predict(X, verbose=0)[1])


def test_the_variational_loss_is_the_bound(X):
    X = 3 * X  # whose features all have variance 9
    model = VariationalAutoencoder((8,), 2, beta=0.7, epochs=1, random_state=0).fit(X)
    sampling = model.autoencoder_.get_layer("sampling")
    noise = sampling.noise = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    _, mean, log_var = model.encoder_.predict(X, verbose=0)
    copies = model.decoder_.predict(mean + np.exp(log_var / 2) * noise, verbose=0)
    divergence = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(axis=1)
    bound = (np.square(copies - X).sum(axis=1) / 2 / 9 + 0.7 * divergence).mean()
    assert model.autoencoder_.evaluate(X, X, batch_size=40, verbose=0) == pytest.approx(bound * 2 * 9 / 7, rel=1e-5)

    unit = VariationalAutoencoder(loss="binary_crossentropy", beta=0.7, epochs=1).fit(np.abs(X) / 30)
    assert unit.autoencoder_.get_layer("sampling").beta == pytest.approx(0.7 / 7)
    alone = VariationalAutoencoder(epochs=1).fit(X[:1])  # no variance
    assert alone.autoencoder_.get_layer("sampling").beta == pytest.approx(2 / 7)
