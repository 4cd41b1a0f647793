"""Weights that are used twice, tensors that are read twice, weights that are not trained."""

import numpy as np
import pytest

from scratchae import Model, Sequential, gradcheck, layers, regularizers

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 4))
IMAGES = rng.standard_normal((2, 3, 4, 2))
SEQUENCES = rng.standard_normal((2, 3, 2))


def twice(layer, x):
    return layer(layer(x))


def between(layer, x):
    return layer(layers.Activation("tanh")(layers.Dense(x.shape[-1])(layer(x))))


def on_both_sides(layer, x):
    return layers.Sampling()([layer(x), layer(layers.Rescaling(0.5)(x))])


def nested(layer, x):
    inner = layers.Input(x.shape[1:])
    model = Model(inner, layer(inner))
    return model(layer(model(x)))


SHARED = {
    "dense": (lambda: layers.Dense(4, "tanh"), X),
    "dense without bias": (lambda: layers.Dense(4, "tanh", use_bias=False), X),
    "conv2d": (lambda: layers.Conv2D(2, 3, "same", "tanh"), IMAGES),
    "lstm": (lambda: layers.LSTM(2, return_sequences=True), SEQUENCES),
    "time distributed": (lambda: layers.TimeDistributed(layers.Dense(2, "sigmoid")), SEQUENCES),
    "dense with penalties": (
        lambda: layers.Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l2"),
        X,
    ),
}


@pytest.mark.parametrize("use", [twice, between, on_both_sides, nested])
@pytest.mark.parametrize("name", SHARED)
def test_a_layer_called_twice_sums_its_gradients(name, use):
    make, data = SHARED[name]
    x = layers.Input(data.shape[1:])
    layer = make()
    output = use(layer, x)
    if len(output.shape) > 2:
        output = layers.Flatten()(output)
    model = Model(x, layers.Dense(2)(output))
    assert model.weights.count(layer.weights[0]) == 1
    gradcheck.check(model, data)
    model.compile("sgd", "mse")
    gradcheck.check(model, data, rng.standard_normal((len(data), 2)))


def test_three_calls_of_one_layer_give_three_times_the_gradient():
    x = layers.Input(4)
    d = layers.Dense(4, use_bias=False)
    one, three = Model(x, d(x)), Model(x, d(d(d(x))))
    d.set_weights([np.eye(4)])  # so that every call sees the same x and the same dy
    y = rng.standard_normal((3, 4))
    for model in (one, three):
        model.compile("sgd", "mse")
    [single], [triple] = (model.loss_and_gradients(X, y)[1] for model in (one, three))
    assert np.abs(single).max() > 0.1
    # d(x w^3) at w = 1 along any direction v is 3 x v
    np.testing.assert_allclose(triple, 3 * single, rtol=1e-12)


DIAMONDS = {
    "two branches": lambda h: layers.Sampling()([layers.Dense(2)(h), layers.Dense(2)(h)]),
    "itself and a branch": lambda h: layers.Sampling()([h, layers.Dense(3, "tanh")(h)]),
    "a branch and itself": lambda h: layers.Sampling()([layers.Dense(3, "tanh")(h), h]),
    "three readers": lambda h: layers.Sampling()([layers.Sampling()([layers.Dense(3)(h), layers.Dense(3)(h)]), h]),
    "itself twice": lambda h: layers.Sampling()([h, h]),
    "itself twice, and a branch": lambda h: layers.Sampling()([layers.Dense(3)(h), layers.Sampling()([h, h])]),
    "a branch, and itself twice": lambda h: layers.Sampling()([layers.Sampling()([h, h]), layers.Dense(3)(h)]),
}


@pytest.mark.parametrize("name", DIAMONDS)
@pytest.mark.parametrize("start", ["input", "dense", "penalized"])
def test_a_tensor_with_several_readers_sums_their_gradients(name, start):
    x = h = layers.Input(3)
    if start != "input":
        penalty = regularizers.L2(0.3) if start == "penalized" else None
        h = layers.Dense(3, "tanh", activity_regularizer=penalty)(x)
    model = Model(x, DIAMONDS[name](h))
    gradcheck.check(model, rng.standard_normal((2, 3)))
    if start == "dense":
        model.compile("sgd", "mse")
        gradcheck.check(model, rng.standard_normal((2, 3)), rng.standard_normal((2, *model.output_shape[1:])))


def stacked(kind, frozen):
    make = {
        "dense": lambda **o: [layers.Dense(4, "tanh", **o), layers.Dense(4, "tanh", **o), layers.Dense(2, **o)],
        "conv2d": lambda **o: [
            layers.Conv2D(2, 3, "same", "tanh", **o),
            layers.Conv2D(3, 3, "valid", "tanh", **o),
            layers.Conv2D(2, 1, "same", **o),
        ],
        "lstm": lambda **o: [
            layers.LSTM(2, return_sequences=True, **o),
            layers.TimeDistributed(layers.Dense(3, "tanh"), **o),
            layers.LSTM(2, **o),
        ],
    }[kind]()
    model = Sequential([layers.Input({"dense": X, "conv2d": IMAGES, "lstm": SEQUENCES}[kind].shape[1:]), *make])
    make[frozen].trainable = False
    model.compile("adam", "mse")
    return model, make


@pytest.mark.parametrize("frozen", [0, 1, 2])
@pytest.mark.parametrize("kind", ["dense", "conv2d", "lstm"])
def test_a_frozen_layer_is_left_alone_and_passes_gradients_on(kind, frozen):
    data = {"dense": X, "conv2d": IMAGES, "lstm": SEQUENCES}[kind]
    model, stack = stacked(kind, frozen)
    y = rng.standard_normal((len(data), *model.output_shape[1:]))
    report = gradcheck.check(model, data, y)
    assert report.checked == sum(p.size for layer in stack for p in layer.weights if layer.trainable)
    before = [layer.get_weights() for layer in stack]
    gradients = dict(zip(model.weights, model.loss_and_gradients(data, y)[1], strict=True))
    model.fit(data, y, epochs=2, batch_size=2, verbose=0)
    for i, layer in enumerate(stack):
        for parameter, old in zip(layer.weights, before[i], strict=True):
            if i == frozen:
                assert gradients[parameter] is None
                np.testing.assert_array_equal(parameter.data, old)
            else:
                assert np.abs(gradients[parameter]).max() > 0
                assert (parameter.data != old).any()


def test_a_frozen_model_within_a_model():
    x = layers.Input(4)
    encoder = Model(x, layers.Dense(3, "tanh")(x))
    model = Model(x, layers.Dense(4)(encoder(x)))
    encoder.trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    gradients = model.loss_and_gradients(X, X)[1]
    assert [g is None for g in gradients] == [True, True, False, False]
    model.fit(X, X, verbose=0)
    changed = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]
    gradcheck.check(model, X, X)


def test_a_weight_that_the_output_does_not_depend_on_has_the_gradient_zero():
    x = layers.Input(4)
    used, unused = layers.Dense(4, "tanh"), layers.Dense(3)
    heads = Model(x, [used(x), unused(x)])
    model = Model(x, heads(x)[0])
    model.compile("sgd", "mse")
    gradcheck.check(model, X, X)
    before = unused.get_weights()
    gradients = dict(zip(model.weights, model.loss_and_gradients(X, X)[1], strict=True))
    assert [np.abs(gradients[p]).max() for p in unused.weights] == [0, 0]
    model.fit(X, X, epochs=2, verbose=0)
    for old, new in zip(before, unused.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_frozen_dense_layer_within_time_distributed():
    x = layers.Input((3, 2))
    model = Model(x, layers.Dense(2)(layers.TimeDistributed(layers.Dense(3, trainable=False))(x)))
    model.compile("sgd", "mse")
    gradients = model.loss_and_gradients(SEQUENCES, rng.standard_normal((2, 3, 2)))[1]
    assert [g is None for g in gradients] == [True, True, False, False]


def test_a_dense_layer_within_time_distributed_keeps_its_weights():
    dense = layers.Dense(3)
    dense(layers.Input(4))
    kernel = dense.weights[0]
    x = layers.Input((5, 4))
    model = Model(x, layers.TimeDistributed(dense)(x))
    assert model.weights == dense.weights
    assert len(model.weights) == 2
    assert model.weights[0] is kernel


def test_time_distributed_refuses_what_its_layer_was_not_built_for():
    dense = layers.Dense(3)
    dense(layers.Input(4))
    with pytest.raises(ValueError, match=r"\(None, 5, 2\)"):
        layers.TimeDistributed(dense)(layers.Input((5, 2)))
