"""Noise: none in predict, the promised amount in training, drawn anew each step."""

import numpy as np
import pytest

import scratchae
from scratchae import Model, layers

ONES = np.ones((200, 50))


def noisy_model(layer):
    """Its loss is the mean square of what the layer changes; the rate of 0 keeps the weights."""
    x = layers.Input(50)
    identity = layers.Dense(50, use_bias=False)
    model = Model(x, layer(identity(x)))
    identity.set_weights([np.eye(50)])
    model.compile(scratchae.optimizers.SGD(0.0), "mse")
    return model


NOISE = {
    "gaussian noise": (lambda: layers.GaussianNoise(0.3), 0.09, np.sqrt(2) * 0.09),
    "dropout": (lambda: layers.Dropout(0.3), 0.3 / 0.7, (1 - (0.3 / 0.7) ** 2) * np.sqrt(0.21)),
}


@pytest.mark.parametrize("name", NOISE)
def test_predict_and_evaluate_see_no_noise(name):
    model = noisy_model(NOISE[name][0]())
    x = np.random.default_rng(0).standard_normal((7, 50))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    assert model.evaluate(x, x, verbose=0) == 0


@pytest.mark.parametrize("name", NOISE)
def test_training_sees_as_much_as_was_asked_for(name):
    make, mean, deviation = NOISE[name]
    loss = noisy_model(make()).train_on_batch(ONES, ONES)
    assert abs(loss - mean) < 5 * deviation / np.sqrt(ONES.size)


@pytest.mark.parametrize("name", NOISE)
def test_each_step_draws_anew(name):
    model = noisy_model(NOISE[name][0]())
    peek = [model.loss_and_gradients(ONES, ONES)[0] for _ in range(2)]
    steps = [model.train_on_batch(ONES, ONES) for _ in range(3)]
    assert peek[0] == peek[1] == steps[0]
    assert len(set(steps)) == 3


@pytest.mark.parametrize("name", NOISE)
def test_the_seed_decides(name):
    drawn = []
    for seed in (1, 1, 2):
        scratchae.set_random_seed(seed)
        drawn.append(noisy_model(NOISE[name][0]()).train_on_batch(ONES, ONES))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("shared", [True, False])
def test_two_calls_draw_different_numbers(shared):
    x = layers.Input(50)
    first = layers.GaussianNoise(1.0)
    second = first if shared else layers.GaussianNoise(1.0)
    flipped = layers.Rescaling(-1.0)(first(x))  # -(x + a) + b: if b were a, -x would remain
    model = Model(x, layers.Dense(50, use_bias=False)(second(flipped)))
    model.layers[-1].set_weights([-np.eye(50)])
    model.compile(scratchae.optimizers.SGD(0.0), "mse")
    assert model.train_on_batch(ONES, ONES) == pytest.approx(2, abs=5 * np.sqrt(2) * 2 / np.sqrt(ONES.size))


def sampler(beta=1.0, D=3):
    mean, log_var = layers.Input(D), layers.Input(D)
    layer = layers.Sampling(beta)
    return layer, Model([mean, log_var], layer([mean, log_var]))


def heads(n=5, D=3):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, D)), rng.standard_normal((n, D))]


def test_sampling_with_given_noise():
    layer, model = sampler()
    mean, log_var = heads()
    layer.noise = np.random.default_rng(1).standard_normal((5, 3))
    z = model.predict([mean, log_var], batch_size=2, verbose=0)  # a row of noise belongs to a row of data
    np.testing.assert_allclose(z, mean + np.sqrt(np.exp(log_var)) * layer.noise, rtol=1e-12)
    layer.noise = None
    assert (model.predict([mean, log_var], verbose=0) != z).all()


def test_sampling_draws_anew_from_the_right_distribution():
    _, model = sampler(D=2)
    mean, log_var = np.full((50_000, 2), (1.0, -2.0)), np.full((50_000, 2), (0.0, 2.0))
    a, b = (model.predict([mean, log_var], batch_size=50_000, verbose=0) for _ in range(2))
    assert (a != b).all()
    deviation = np.exp(log_var[0] / 2)
    for z in (a, b):
        assert (abs(z.mean(axis=0) - mean[0]) < 5 * deviation / np.sqrt(50_000)).all()
        assert (abs(z.var(axis=0) / deviation**2 - 1) < 5 * np.sqrt(2 / 50_000)).all()
    assert (abs(np.mean((a - mean) * (b - mean), axis=0)) < 5 * deviation**2 / np.sqrt(50_000)).all()


def test_a_prediction_does_not_depend_on_the_batch_size():
    scratchae.set_random_seed(3)
    _, one = sampler()
    scratchae.set_random_seed(3)
    _, other = sampler()
    np.testing.assert_array_equal(
        one.predict(heads(7), batch_size=7, verbose=0), other.predict(heads(7), batch_size=2, verbose=0)
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_sampling_adds_the_divergence_to_the_loss(beta):
    layer, model = sampler(beta)
    mean, log_var = heads()
    layer.noise = np.zeros((5, 3))  # z is the mean, so the error is 0
    model.compile("sgd", "mse")
    expected = beta * np.mean(np.sum(-0.5 * (1 + log_var - mean**2 - np.exp(log_var)), axis=1))
    assert model.evaluate([mean, log_var], mean, verbose=0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("noise", [np.zeros((4, 3)), np.zeros((5, 2)), np.zeros(3), 0.0], ids=np.shape)
def test_sampling_refuses_noise_of_another_shape(noise):
    layer, model = sampler()
    layer.noise = noise
    with pytest.raises(ValueError, match="noise has shape"):
        model.predict(heads(), verbose=0)
