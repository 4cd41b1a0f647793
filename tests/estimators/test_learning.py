"""What an estimator learns: losses, seeds, early stopping, outliers, and what it refuses."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import scratchae
from scratchae import config, estimators, losses
from scratchae.datasets import digits
from scratchae.estimators import (
    ConvolutionalAutoencoder,
    RecurrentAutoencoder,
    SparseAutoencoder,
    VanillaAutoencoder,
    VariationalAutoencoder,
)

ALL = [getattr(estimators, name) for name in estimators.__all__]


@pytest.fixture(scope="module")
def images():
    """Digits in [0, 1], and which of them are zeros and ones: (train, labels, test, labels)."""
    (x, y), (x_test, y_test) = digits.load_data()
    return x.reshape(-1, 784) / 255, y <= 1, x_test.reshape(-1, 784) / 255, y_test <= 1


@pytest.mark.parametrize(
    "model",
    [  # the areas under the curve, and the smallest of eight seeds: 0.997, 0.973, 0.920, 0.965, 0.991
        (VanillaAutoencoder(epochs=20, random_state=0), 0.97),
        (SparseAutoencoder(epochs=20, random_state=0), 0.95),
        (VariationalAutoencoder(epochs=20, random_state=0), 0.9),
        (ConvolutionalAutoencoder(epochs=20, image_shape=(28, 28), random_state=0), 0.94),
        (RecurrentAutoencoder(timesteps=28, epochs=20, learning_rate=0.01, random_state=0), 0.97),
    ],
    ids=lambda model: type(model[0]).__name__,
)
def test_who_has_seen_zeros_and_ones_finds_the_other_digits_strange(model, images):
    estimator, bound = model
    x, usual, x_test, usual_test = images
    estimator.fit(x[usual])
    assert roc_auc_score(usual_test, estimator.score_samples(x_test)) > bound


# ---- the loss -------------------------------------------------------------------------------------------------------
def test_the_last_layer_goes_with_the_loss(X):
    unit = MinMaxScaler().fit_transform(X)
    for loss, activation in (("mse", "linear"), ("binary_crossentropy", "sigmoid")):
        model = VanillaAutoencoder((4,), 2, loss=loss, epochs=1).fit(unit)
        assert model.decoder_.layers[-1].activation == activation
        assert type(model.autoencoder_.loss) is type(losses.get(loss))


def test_binary_crossentropy_wants_the_unit_interval(X):
    model = VanillaAutoencoder(loss="binary_crossentropy", epochs=1)
    with pytest.raises(
        ValueError, match=r"is for data in \[0, 1\], and X reaches from -.*; scale it with MinMaxScaler"
    ):
        model.fit(X)
    model.fit(np.full((3, 2), 1 + 1e-15))  # what MinMaxScaler makes; without a warning either
    with pytest.raises(ValueError, match=r"is for data in \[0, 1\], and X reaches from 2 to 2;"):
        model.partial_fit(np.full((3, 2), 2))


@pytest.mark.parametrize("scale", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("estimator", [VanillaAutoencoder, SparseAutoencoder, VariationalAutoencoder])
def test_defaults_work_on_standardized_data_and_in_the_unit_interval(estimator, scale, X):
    data = scale.fit_transform(X)
    model = estimator(random_state=0).fit(data)
    assert -model.score(data) < 0.4 * data.var(axis=0).mean()  # who knows only the mean has an error of the variance


def test_scores_are_mean_squared_errors_whatever_the_loss(X):
    data = MinMaxScaler().fit_transform(X)
    model = VanillaAutoencoder((8,), 3, epochs=5, random_state=0).fit(data)
    copies = model.inverse_transform(model.transform(data))
    np.testing.assert_allclose(model.score_samples(data), -np.square(copies - data).mean(axis=1), rtol=1e-6)
    assert model.score(data) == pytest.approx(model.score_samples(data).mean())
    np.testing.assert_array_equal(model.decision_function(data), model.score_samples(data) - model.offset_)


@pytest.mark.parametrize("estimator", ALL)
def test_a_row_has_the_same_numbers_whichever_others_are_there(estimator, X):
    model = estimator(epochs=2, random_state=0).fit(X)
    for ask in (model.transform, model.score_samples, lambda rows: model.inverse_transform(model.transform(rows))):
        expected = ask(X)
        for size in (1, 3, 15, 33):
            parts = [ask(X[i : i + size]) for i in range(0, len(X), size)]
            np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_the_share_of_outliers_is_the_contamination(X):
    for contamination, outliers in ((0.05, 2), (0.25, 10), (0.5, 20)):
        model = VanillaAutoencoder(epochs=2, contamination=contamination, random_state=0)
        assert (model.fit_predict(X) == -1).sum() == outliers


def test_a_stronger_penalty_leaves_more_of_the_code_at_zero(X):
    share = [
        (SparseAutoencoder((16,), 16, lambtha, epochs=60, random_state=0).fit_transform(X) == 0).mean()
        for lambtha in (0, 0.05)
    ]
    assert share[1] > share[0] + 0.1


# ---- seeds ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("estimator", ALL)
def test_one_random_state_gives_the_same_bits_whatever_the_program_around_does(estimator, X):
    scratchae.set_random_seed(1)
    first = estimator(epochs=2, random_state=0, early_stopping=True).fit(X)
    scratchae.set_random_seed(2)
    scratchae.set_floatx("float64")
    config.unique_name("dense")
    again = estimator(epochs=2, random_state=0, early_stopping=True).fit(X)
    other = estimator(epochs=2, random_state=1, early_stopping=True).fit(X)
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    assert first.history_ == again.history_
    assert first.offset_ == again.offset_
    assert np.any(first.transform(X) != other.transform(X))
    assert [layer.name for layer in first.encoder_.layers] == [layer.name for layer in again.encoder_.layers]


@pytest.mark.parametrize("estimator", ALL)
def test_estimators_leave_the_global_state_as_it_was(estimator, X):
    scratchae.set_random_seed(5)
    expected = config.next_seed().generate_state(2)
    scratchae.set_random_seed(5)
    before = np.random.get_state()
    model = estimator(epochs=2, random_state=0, early_stopping=True).fit(X)
    model.predict(X)
    if estimator is VariationalAutoencoder:
        model.sample(3, random_state=0)
    np.testing.assert_array_equal(config.next_seed().generate_state(2), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert config.unique_name("dense") == "dense"
    assert config.unique_name("model") == "model"


def test_a_generator_as_random_state_goes_on(X):
    random = np.random.RandomState(0)
    first, second = (VanillaAutoencoder(epochs=1, random_state=random).fit(X) for _ in range(2))
    assert np.any(first.transform(X) != second.transform(X))


# ---- early stopping, partial_fit ------------------------------------------------------------------------------------
def test_early_stopping_stops_and_keeps_the_best_weights(X):
    options = {"early_stopping": True, "validation_fraction": 0.25, "tol": 0.0, "random_state": 0}
    model = VanillaAutoencoder((32,), 4, epochs=300, learning_rate=0.02, n_iter_no_change=4, **options).fit(X)
    losses = model.history_["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == model.n_iter_ == best + 1 + 4 < 300
    shorter = VanillaAutoencoder((32,), 4, epochs=best + 1, learning_rate=0.02, **options).fit(X)
    assert shorter.loss_curve_ == model.loss_curve_[: best + 1]
    np.testing.assert_array_equal(shorter.transform(X), model.transform(X))


def test_partial_fit_after_early_stopping_keeps_its_history(X):
    model = VanillaAutoencoder(epochs=2, early_stopping=True).fit(X)
    model.set_params(early_stopping=False).partial_fit(X)
    assert [len(losses) for losses in (model.history_["loss"], model.history_["val_loss"])] == [3, 2]


def test_early_stopping_needs_data(X):
    with pytest.raises(ValueError, match="resulting train set will be empty"):
        VanillaAutoencoder(early_stopping=True).fit(X[:1])


def test_partial_fit_goes_on_where_training_was(X):
    model = VanillaAutoencoder(epochs=4, random_state=0).fit(X)
    steps = VanillaAutoencoder(random_state=0)
    for _ in range(4):
        steps.partial_fit(X)
    assert steps.loss_curve_ == model.loss_curve_
    np.testing.assert_array_equal(steps.transform(X), model.transform(X))
    model.partial_fit(X[:10])
    assert model.n_iter_ == len(model.history_["loss"]) == 5
    assert (model.predict(X[:10]) == -1).sum() == 1  # the offset is that of the rows given last


def test_partial_fit_cannot_put_data_aside(X):
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        VanillaAutoencoder(early_stopping=True).partial_fit(X)


def test_the_learning_rate_may_change_between_calls(X):
    model = VanillaAutoencoder(random_state=0).partial_fit(X)
    before = model.transform(X)
    model.set_params(learning_rate=0.0).partial_fit(X)
    np.testing.assert_array_equal(model.transform(X), before)


def test_the_device_may_change_after_training(X):
    model = VanillaAutoencoder(epochs=2, random_state=0).fit(X)
    codes = model.transform(X)
    model.set_params(device="reference")
    np.testing.assert_allclose(model.transform(X), codes, rtol=1e-4, atol=1e-5)
    assert model.autoencoder_.device()[0].name == "reference"
    model.partial_fit(X)
    with pytest.raises(ValueError, match="device='tpu' is not there"):
        model.set_params(device="tpu").predict(X)


# ---- arguments ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "VanillaAutoencoder: epochs=0 is too small"),
        ({"batch_size": 2.5}, TypeError, "batch_size=2.5 is a float; expected an integer"),
        ({"learning_rate": -1}, ValueError, "learning_rate=-1 is out of range"),
        ({"contamination": 0}, ValueError, r"contamination=0 is out of range; expected a finite number in \(0, 0.5\]"),
        ({"contamination": 0.6}, ValueError, "contamination=0.6 is out of range"),
        ({"validation_fraction": 1.0}, ValueError, r"validation_fraction=1.0 is out of range"),
        ({"n_iter_no_change": "3"}, TypeError, "n_iter_no_change='3' is a str"),
        ({"tol": -1e-9}, ValueError, "tol=-1e-09 is out of range"),
        ({"loss": "bce"}, ValueError, "loss='bce' is unknown; expected one of 'mse', 'binary_crossentropy'"),
        ({"hidden_layers": 64}, TypeError, "hidden_layers=64 is a int; expected a list or tuple"),
        ({"latent_dims": 0}, ValueError, "latent_dims=0 is too small"),
        ({"random_state": "a"}, ValueError, "'a' cannot be used to seed"),
        ({"verbose": 7}, ValueError, "verbose=7 is unknown"),
    ],
)
def test_wrong_parameters_are_refused_in_fit_and_leave_the_estimator_as_it_was(arguments, error, message, X):
    model = VanillaAutoencoder(epochs=1, random_state=0).fit(X)
    codes, parameters = model.transform(X), model.get_params()
    with pytest.raises(error, match=message):
        model.set_params(**arguments).fit(X)
    np.testing.assert_array_equal(model.set_params(**parameters).transform(X), codes)


def test_data_that_training_cannot_take_is_refused(X):
    with pytest.raises(ValueError, match="which is not finite in float32"):
        VanillaAutoencoder(epochs=1).fit(X * 1e39)
    with pytest.raises(FloatingPointError, match="A smaller learning rate"):
        VanillaAutoencoder(epochs=1).fit(X * 1e30)
    model = VanillaAutoencoder(epochs=1).fit(X)
    with pytest.raises(ValueError, match="inverse_transform got 3 columns; expected 8, as transform gives"):
        model.inverse_transform(X[:, :3])


def test_one_row_and_one_feature_are_enough():
    for data in ([[0.5]], [[3.0], [4.0]], [[1.0, 2.0, 3.0]]):
        for estimator in ALL:
            model = estimator(epochs=1, random_state=0).fit(data)
            assert model.predict(data).shape == (len(data),)
            assert model.inverse_transform(model.transform(data)).shape == np.shape(data)
