"""Who owns the buffers: slabs, ragged batches, memory that is used again."""

import dataclasses

import numpy as np
import pytest

import scratchae
from scratchae import Input, Model, backend, layers
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.fusion import Penalized

MODELS = {
    "vanilla": lambda: (vanilla.autoencoder(12, [7], 3)[2], (12,)),
    "sparse": lambda: (sparse.autoencoder(12, [7], 3, 0.05)[2], (12,)),
    "convolutional": lambda: (convolutional.autoencoder((12, 12, 1), [3, 2, 2], (2, 2, 2))[2], (12, 12, 1)),
    "variational": lambda: (variational.autoencoder(12, [7], 3)[2], (12,)),
    "recurrent": lambda: (recurrent.autoencoder(4, 3, 2)[2], (4, 3)),
}


def noisy():
    x = Input((12,))
    h = layers.Dropout(0.3)(layers.GaussianNoise(0.2)(x))
    model = Model(x, layers.Dense(12, activation="sigmoid", kernel_regularizer="l2")(h))
    model.compile("adam", "binary_crossentropy")
    return model, (12,)


@pytest.fixture(params=[*MODELS, "noisy"])
def make(request):
    return MODELS.get(request.param, noisy)


@pytest.fixture
def slabs(monkeypatch):
    """A backend like reference whose step takes four samples at a time."""
    device = dataclasses.replace(backend.REFERENCE, name="slabs", slab_size=4, vector_slab_size=4)
    monkeypatch.setitem(backend.BACKENDS, "slabs", device)
    return "slabs"


def test_slabs_give_what_the_whole_batch_gives(make, slabs, rng):
    """Losses, penalties, noise and gradients do not see how the batch was cut, a ragged last slab included."""
    scratchae.set_floatx("float64")
    model, shape = make()
    x = rng.random((11, *shape))
    weight = rng.random(11)
    predictions = model._predictions
    loss, gradients = model.loss_and_gradients(x, x, sample_weight=weight)
    predicted = model.predict(x)
    model.to(slabs)
    model._predictions = predictions
    loss_in_slabs, gradients_in_slabs = model.loss_and_gradients(x, x, sample_weight=weight)
    assert loss_in_slabs == pytest.approx(loss, rel=1e-12)
    for whole, cut in zip(gradients, gradients_in_slabs, strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(model.predict(x), predicted, rtol=1e-12)


def test_moving_keeps_weights_and_optimizer_state(slabs, rng):
    model, shape = MODELS["vanilla"]()
    x = rng.random((8, *shape))
    model.fit(x, x, epochs=2, verbose=0)
    state, weights = model.optimizer.get_state(), model.get_weights()
    model.to(slabs)
    assert model.device()[0].name == "slabs"
    for name, value in model.optimizer.get_state().items():
        np.testing.assert_array_equal(value, state[name])
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_left_in_memory_reaches_nobody(make, rng):
    """A large batch of garbage, then a small one: what lies behind its end is not seen."""
    model, shape = make()
    x = rng.random((17, *shape)).astype("float32")
    twin, _ = make()
    twin.set_weights(model.get_weights())
    for layer, other in zip(twin._all_layers(), model._all_layers(), strict=True):
        layer.seed = other.seed  # the same noise
    model.predict(rng.random((32, *shape)))
    model._memory.view(np.float32)[: model._memory.size // 4] = np.nan
    assert model.train_on_batch(x, x) == twin.train_on_batch(x, x)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_predict_in_the_middle_of_fit_disturbs_nothing(make, rng):
    model, shape = make()
    twin, _ = make()
    twin.set_weights(model.get_weights())
    for layer, other in zip(twin._all_layers(), model._all_layers(), strict=True):
        layer.seed = other.seed
    x = rng.random((22, *shape))
    curious = scratchae.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: model.predict(x[:13]))
    model.fit(x, x, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=[curious])
    twin.fit(x, x, batch_size=8, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_is_allocated_once(rng):
    model, shape = MODELS["vanilla"]()
    x = rng.random((50, *shape))
    model.fit(x, x, batch_size=16, verbose=0)
    memory = model._memory
    model.fit(x, x, batch_size=16, epochs=3, validation_split=0.2, verbose=0)
    assert model._memory is memory
    for n in range(1, 30):
        model.predict(x[:n], batch_size=n)
    assert len(model._plans) <= 8


def test_unused_branches_are_left_out(rng):
    x = Input((4,))
    h = layers.Dense(3, name="used")(x)
    inner = Model(x, [h, layers.Dense(2, name="unused")(h)])
    y = Input((4,))
    model = Model(y, layers.Dense(4)(inner(y)[0]))
    model.compile("adam", "mse")
    data = rng.random((5, 4))
    for parameter in model.training_store().trained:
        parameter.grad[...] = np.nan
    gradients = dict(zip([p.name for p in model.weights], model.loss_and_gradients(data, data)[1], strict=True))
    assert not np.any(gradients["unused/kernel"])
    assert np.all(np.isfinite(gradients["used/kernel"]))
    model.train_on_batch(data, data)


def test_a_layer_called_twice_collects_both_gradients(rng):
    scratchae.set_floatx("float64")
    x = Input((4,))
    shared = layers.Dense(4, activation="tanh")
    model = Model(x, shared(shared(x)))
    model.compile("sgd", "mse")
    data = rng.random((5, 4))
    report = scratchae.gradcheck.check(model, data, data)
    assert report.checked == 20


def test_predictions_do_without_penalties(rng):
    encoder, _, auto = sparse.autoencoder(12, [7], 3, 0.05)
    x = rng.random((5, 12)).astype("float32")
    penalty = 0.05 * np.abs(encoder.predict(x)).sum() / len(x)
    auto.compile("adam", "mse")
    assert auto.evaluate(x, x, verbose=0) == pytest.approx(np.mean((auto.predict(x) - x) ** 2) + penalty, rel=1e-5)
    with_it, without = ([type(step.layer) for step in auto.plan(5, penalties=p).steps] for p in (True, False))
    assert with_it == [layers.Dense, Penalized, layers.Dense, layers.Dense]
    assert without == [layers.Dense] * 4
