"""Neighbouring layers in one kernel: the same numbers as one after the other, and only where nobody looks between."""

import numpy as np
import pytest

import scratchae
from scratchae import Input, Model, regularizers
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.data import as_data
from scratchae.fusion import (
    Conv2DMaxPooling2D,
    DenseBinaryCrossentropy,
    Penalized,
    RepeatVectorLSTM,
    UpSampling2DConv2D,
)
from scratchae.layers import (
    LSTM,
    Activation,
    ActivityRegularization,
    Conv2D,
    Dense,
    Flatten,
    MaxPooling2D,
    RepeatVector,
    Reshape,
    Sampling,
    UpSampling2D,
)
from scratchae.step import batch_totals, fused_loss, merged, run_batch
from tests.kernels.devices import assert_near

TOLERANCES = {"reference": 1e-12, "cpu": 2e-6}  # of the largest number of an array


@pytest.fixture(params=TOLERANCES)
def device(request):
    """Both backends, each with its widest float type."""
    scratchae.set_device(request.param)
    scratchae.set_floatx("float64" if request.param == "reference" else "float32")
    return request.param


def compiled(x, y, loss="mse", metrics=None):
    model = Model(x, y)
    model.compile("sgd", loss, metrics=metrics)
    return model


def step_of(model, x, y, fused, weight=None):
    """Loss and gradients of a training step, and the layers that its plan ran."""
    data, rows = as_data("test", model, x, y, weight), np.arange(len(x))
    store = model.training_store()
    store.gradients[...] = np.nan
    draw = model.numbers().draw
    draw[0] = 3
    run_batch("test", model, data, rows, gradients=True, training=True, step=draw, fused=fused)
    values = merged(batch_totals(model))
    plan = model.plan(len(x), True, fused=fused, loss=fused_loss(model))
    return values, [np.array(p.grad) for p in store.trained], types_of(plan.steps)


def types_of(steps):
    return [type(step.layer) for step in steps]


def assert_same_step(model, device, rng, weighted=True, n=19, high=1.0):
    """Fused and unfused agree; returns the layers of the two plans."""
    x = high * rng.random((n, *model.input_shape[1:])).astype(scratchae.floatx())
    y = rng.random((n, *model.output_shape[1:])).astype(scratchae.floatx())
    weight = rng.random(n) if weighted else None
    values, gradients, pairs = step_of(model, x, y, True, weight)
    expected_values, expected, layers = step_of(model, x, y, False, weight)
    assert_near(values, expected_values, TOLERANCES[device])
    for gradient, other in zip(gradients, expected, strict=True):
        assert np.any(other)
        assert_near(gradient, other, TOLERANCES[device])
    return pairs, layers


# ---- the same numbers -----------------------------------------------------------------------------------------------
def pooled(shape, size, padding, pool, **options):
    """The pair first, where nobody asks for dx, and once more behind it, where dx is needed."""
    x = h = Input(shape)
    for filters in (3, 10):
        h = Conv2D(filters, size, padding=padding, **options)(h)
        h = MaxPooling2D((2, 2), padding=pool)(h)
    return compiled(x, Dense(2)(Flatten()(h)))


@pytest.mark.parametrize("pool", ["same", "valid"])
@pytest.mark.parametrize(("size", "padding"), [(3, "same"), ((5, 1), "same"), (3, "valid"), ((1, 5), "valid")])
def test_convolution_and_pooling(size, padding, pool, device, rng):
    model = pooled((17, 19, 2), size, padding, pool, activation="relu")
    pairs, layers = assert_same_step(model, device, rng)
    assert pairs == [Conv2DMaxPooling2D, Conv2DMaxPooling2D, Flatten, Dense]
    assert layers == [Conv2D, MaxPooling2D, Conv2D, MaxPooling2D, Flatten, Dense]


@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh"])
def test_convolution_and_pooling_with_other_activations(activation, device, rng):
    model = pooled((7, 5, 1), 3, "same", "same", activation=activation, use_bias=False)
    assert assert_same_step(model, device, rng)[0][0] is Conv2DMaxPooling2D


@pytest.mark.parametrize(("size", "padding"), [(3, "same"), (3, "valid"), (5, "same"), (5, "valid"), ((1, 3), "valid")])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_upsampling_and_convolution(size, padding, activation, device, rng):
    x = h = Input((5, 7, 2))
    h = UpSampling2D((2, 2))(h)  # nobody asks for dx
    h = Conv2D(9, size, padding=padding, activation=activation)(h)
    h = UpSampling2D((2, 2))(h)
    model = compiled(x, Conv2D(1, size, padding=padding, activation=activation, use_bias=False)(h))
    pairs, layers = assert_same_step(model, device, rng)
    assert pairs == [UpSampling2DConv2D, UpSampling2DConv2D]
    assert layers == [UpSampling2D, Conv2D, UpSampling2D, Conv2D]


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_repeated_vector_and_lstm(first, sequences, device, rng):
    x = h = Input((6,))
    if not first:
        h = Dense(5, activation="tanh")(h)
    model = compiled(x, LSTM(3, return_sequences=sequences, use_bias=sequences)(RepeatVector(4)(h)))
    pairs, layers = assert_same_step(model, device, rng)
    assert pairs == [Dense, RepeatVectorLSTM][first:]
    assert layers == [Dense, RepeatVector, LSTM][first:]


PENALIZED = {  # by the number of images' axes
    1: lambda **options: Dense(4, "tanh", **options),
    3: lambda **options: Conv2D(4, 3, activation="tanh", **options),
}


@pytest.mark.parametrize("axes", PENALIZED)
@pytest.mark.parametrize("readers", [1, 2])
def test_a_penalty_on_the_output_of_a_layer(readers, axes, device, rng):
    """And of the last one of a chain; its gradient is added to the sum of the readers'."""
    x = h = Input((5, 6, 2)[:axes])
    if axes == 1:
        h = Dense(3, "relu")(h)
    h = Reshape((-1,))(PENALIZED[axes](activity_regularizer=regularizers.L1L2(0.3, 0.2))(h))
    models = [Dense(3)(h) for _ in range(readers)]
    y = models[0] if readers == 1 else Sampling(beta=0.5)(models)
    model = compiled(x, y)
    assert_same_step(model, device, rng)
    assert chains_of(model)[0][:2] == [[Dense, Penalized] if axes == 1 else [Penalized], [Reshape]]


@pytest.mark.parametrize("loss", ["binary_crossentropy", "summed_binary_crossentropy"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_sigmoid_and_crossentropy(first, weighted, loss, device, rng):
    x = h = Input((13,))
    if not first:
        h = Dense(5, activation="relu")(h)
    model = compiled(x, Dense(23, activation="sigmoid", use_bias=not first, kernel_regularizer="l2")(h), loss)
    pairs, layers = assert_same_step(model, device, rng, weighted)
    assert pairs == [Dense, DenseBinaryCrossentropy][first:]
    assert layers == [Dense, Dense][first:]


def test_a_saturated_sigmoid_and_crossentropy(device, rng):
    """Logits beyond Keras' clip, where the gradient is 0. (Between 4 and 17 float32 has few digits of 1 - p.)"""
    x = Input((13,))
    model = compiled(x, Dense(40, activation="sigmoid")(x), "binary_crossentropy")
    bias = np.repeat([-25.0, -13.0, 0.0, 25.0], 10)
    model.set_weights([rng.normal(size=(13, 40)) / 4, bias])
    assert assert_same_step(model, device, rng)[0] == [DenseBinaryCrossentropy]
    gradient = model.weights[1].grad
    np.testing.assert_array_equal(gradient != 0, abs(bias) != 25)


def test_the_loss_without_gradients(device, rng):
    """evaluate has no gradients whose memory the logits could use."""
    _, _, model = vanilla.autoencoder(9, [5], 3)
    x, weight = rng.random((11, 9)), rng.random(11)
    p = model.predict(x).astype(float)
    terms = -(x * np.log(p) + (1 - x) * np.log(1 - p)).mean(axis=1)
    tolerance = max(TOLERANCES[device], 1e-7)
    assert model.evaluate(x, x, verbose=0, sample_weight=weight) == pytest.approx(
        (weight * terms).mean(), rel=tolerance
    )
    assert model._using.steps[-1].layer.__class__ is DenseBinaryCrossentropy
    assert not model._using.backward_steps


AUTOENCODERS = {
    "vanilla": (lambda: vanilla.autoencoder(12, [7], 3)[2], [Dense, Dense, Dense, DenseBinaryCrossentropy]),
    "sparse": (
        lambda: sparse.autoencoder(12, [7], 3, 0.05)[2],
        [Dense, Penalized, Dense, DenseBinaryCrossentropy],
    ),
    "convolutional": (
        lambda: convolutional.autoencoder((12, 12, 1), [3, 2, 2], (2, 2, 2))[2],
        [*[Conv2DMaxPooling2D] * 3, Conv2D, *[UpSampling2DConv2D] * 3],
    ),
    "variational": (
        lambda: variational.autoencoder(12, [7], 3)[2],
        [Dense, Dense, Dense, Sampling, Dense, DenseBinaryCrossentropy],
    ),
    "recurrent": (lambda: recurrent.autoencoder(4, 3, 2)[2], [LSTM, RepeatVectorLSTM]),
}


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_autoencoders(kind, device, rng):
    """Pairs whose layers are in different models, and penalties beside them."""
    make, expected = AUTOENCODERS[kind]
    assert assert_same_step(make(), device, rng)[0] == expected


def test_a_layer_in_two_pairs_collects_both_gradients(device, rng):
    shared = Conv2D(3, 3, padding="same", activation="tanh")
    x = h = Input((7, 6, 3))
    for _ in range(2):
        h = MaxPooling2D((2, 2), padding="same")(shared(h))
    pairs, _ = assert_same_step(compiled(x, h), device, rng)
    assert pairs == [Conv2DMaxPooling2D, Conv2DMaxPooling2D]


def test_a_pair_whose_weights_are_not_trained(device, rng):
    x = Input((6, 5, 2))
    h = Conv2D(3, 3, padding="same")(x)
    h = MaxPooling2D((2, 2))(Conv2D(3, 3, padding="same", trainable=False)(h))
    h = Conv2D(2, 3, padding="same", trainable=False)(UpSampling2D((2, 2))(h))
    pairs, _ = assert_same_step(compiled(x, h), device, rng)
    assert pairs == [Conv2D, Conv2DMaxPooling2D, UpSampling2DConv2D]


# ---- chains ---------------------------------------------------------------------------------------------------------
def chains_of(model, **options):
    """Forward and backward."""
    model.training_store()
    plan = model.plan(5, True, **options)
    return [[types_of(chain.steps) for chain in chains] for chains in (plan.forward_chains, plan.backward_chains)]


def chained(widths, **options):
    """Dense layers of so many units, with every activation in turn."""
    x = h = Input((6,))
    for units, activation in zip(widths, ["tanh", "relu", "sigmoid", "linear"] * 2, strict=False):
        h = Dense(units, activation=activation, **options)(h)
    return compiled(x, h)


@pytest.mark.parametrize("bias", [True, False])
def test_a_chain_of_dense_layers(bias, device, rng):
    model = chained([5, 9, 3, 4], use_bias=bias, kernel_regularizer="l2")
    assert_same_step(model, device, rng)
    assert chains_of(model) == [[[Dense] * 4]] * 2


def test_chains_are_as_long_and_as_wide_as_kernels_take_them(device, rng):
    for widths, lengths in (([3, 4, 5, 4, 3, 2, 3], [5, 2]), ([128, 3, 129, 4, 128], [2, 1, 2])):
        model = chained(widths)
        assert_same_step(model, device, rng)
        assert [[len(chain) for chain in chains] for chains in chains_of(model)] == [lengths] * 2


def test_a_chain_at_every_step_of_a_sequence(device, rng):
    x = Input((4, 6))
    model = compiled(x, Dense(3)(Dense(5, "relu")(x)))
    assert_same_step(model, device, rng)
    assert chains_of(model) == [[[Dense, Dense]]] * 2


@pytest.mark.parametrize("trained", [(0, 0, 1, 0), (1, 0, 0, 1), (0, 1, 0, 0), (0, 0, 0, 1)], ids=str)
@pytest.mark.parametrize("first", [True, False])
def test_a_chain_in_which_some_layers_are_trained(first, trained, device, rng):
    """Below what is trained it asks for no gradients, as layers on their own do."""
    x = h = Input((6,))
    if not first:
        h = Activation("tanh")(Dense(7)(h))
    for units, yes in zip((5, 9, 3, 4), trained, strict=True):
        h = Dense(units, activation="tanh", trainable=bool(yes))(h)
    model = compiled(x, h)
    assert_same_step(model, device, rng)
    forward, backward = chains_of(model)
    assert forward[-1] == [Dense] * 4
    assert backward[0] == [Dense] * (4 - trained.index(1) if first else 4)


CALLED_TWICE = {  # lengths of the chains, forward and back
    (0, 1, 0): ([1, 2], [2, 1]),
    (0, 0, 1): ([1, 2], [2, 1]),
    (0, 1, 2, 0): ([1, 3], [3, 1]),
    (1, 0, 2, 0, 3): ([1, 1, 3], [3, 1, 1]),
}


@pytest.mark.parametrize("order", CALLED_TWICE, ids=str)
def test_a_layer_that_is_called_twice_in_chains(order, device, rng):
    """Its gradient is written by one call and added by the other, and a chain of dense layers does all the one or all
    the other."""
    x = h = Input((6,))
    made = [Dense(6, activation="tanh") for _ in range(4)]
    for i in order:
        h = made[i](h)
    model = compiled(x, h)
    assert_same_step(model, device, rng)
    assert tuple([len(chain) for chain in chains] for chains in chains_of(model)) == CALLED_TWICE[order]


def test_convolutions_that_follow_one_another_are_a_chain():
    _, _, auto = convolutional.autoencoder((12, 12, 1), [3, 2, 2], (2, 2, 2))
    _, expected = AUTOENCODERS["convolutional"]
    assert chains_of(auto) == [[expected], [expected[::-1]]]
    assert {len(chain) for chains in chains_of(auto, fused=False) for chain in chains} == {1}


def convolutions(count):
    return [Conv2D(3, 3, padding="same", activation="tanh") for _ in range(count)]


def test_other_layers_end_a_chain(device, rng):
    x = h = Input((5, 4, 3))
    a, b, c, d = convolutions(4)
    model = compiled(x, d(c(Activation("tanh")(b(a(h))))))
    assert_same_step(model, device, rng)
    assert chains_of(model) == [[[Conv2D, Conv2D], [Activation], [Conv2D, Conv2D]]] * 2


def test_a_layer_does_not_come_twice_in_a_chain(device, rng):
    """The gradient of its weights is written by one, and the other adds to it."""
    x = Input((5, 4, 3))
    a, b = convolutions(2)
    model = compiled(x, b(a(b(a(x)))))
    assert_same_step(model, device, rng)
    assert chains_of(model) == [[[Conv2D, Conv2D], [Conv2D, Conv2D]]] * 2


def test_a_sum_of_gradients_ends_a_chain(device, rng):
    x = Input((5, 4, 3))
    a, b, c, d = convolutions(4)
    h = b(a(x))
    one, other = (Dense(2)(Reshape((-1,))(layer(h))) for layer in (c, d))
    model = compiled(x, Sampling(beta=0.5)([one, other]))
    assert_same_step(model, device, rng)
    _, back = chains_of(model)
    assert [len(chain) for chain in back if chain[0] is Conv2D] == [1, 1, 2]


def test_weights_that_are_not_trained_end_a_chain_on_the_way_back(device, rng):
    x = Input((5, 4, 3))
    frozen = Conv2D(3, 3, padding="same", trainable=False)
    b, c = convolutions(2)
    model = compiled(x, c(b(frozen(frozen(x)))))
    assert_same_step(model, device, rng)
    assert chains_of(model) == [[[Conv2D], [Conv2D, Conv2D, Conv2D]], [[Conv2D, Conv2D]]]
    model = compiled(x, c(frozen(b(x))))
    assert_same_step(model, device, rng)
    assert chains_of(model) == [[[Conv2D, Conv2D, Conv2D]]] * 2


# ---- pairs that stay apart ------------------------------------------------------------------------------------------
PAIRS = {
    "pooling": ((6, 5, 2), lambda **o: Conv2D(3, 3, padding="same", **o), lambda: MaxPooling2D((2, 2))),
    "upsampling": ((3, 4, 2), lambda **o: UpSampling2D((2, 2), **o), lambda: Conv2D(3, 3)),
    "repetition": ((5,), lambda **o: RepeatVector(4, **o), lambda: LSTM(3)),
}


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


def test_two_readers_keep_a_pair_apart(pair, device, rng):
    shape, first, second = pair
    x = Input(shape)
    h = first()(x)
    a, b = (Dense(3)(Reshape((-1,))(t)) for t in (second()(h), h))
    model = compiled(x, Sampling(beta=0.5)([a, b]))
    pairs, layers = assert_same_step(model, device, rng)
    assert pairs == layers


def test_an_output_is_computed(pair, device, rng):
    shape, first, second = pair
    x = Input(shape)
    h = first()(x)
    y = second()(h)
    data = rng.random((3, *shape))
    both, alone = Model(x, [h, y]), Model(x, h)
    found, _ = both.predict(data)
    np.testing.assert_array_equal(found, alone.predict(data))
    assert np.any(found)
    assert types_of(both.plan(3).steps) == [type(h.node.layer), type(y.node.layer)]
    assert len(Model(x, y).plan(3).steps) == 1


def test_an_activity_penalty_is_computed(pair, device, rng):
    shape, first, second = pair
    x = Input(shape)
    model = compiled(x, second()(first(activity_regularizer="l2")(x)))
    pairs, (one, penalty, other) = assert_same_step(model, device, rng)
    assert penalty is ActivityRegularization
    assert pairs in ([Penalized, other], [one, penalty, other])


def test_a_layer_between_keeps_a_pair_apart(pair, device, rng):
    shape, first, second = pair
    x = Input(shape)
    pairs, layers = assert_same_step(compiled(x, second()(Activation("tanh")(first()(x)))), device, rng)
    assert pairs == layers


def dense(loss="binary_crossentropy", metrics=None, **options):
    x = Input((7,))
    return compiled(x, Dense(5, **{"activation": "sigmoid"} | options)(x), loss, metrics)


def behind_a_reshape():
    x = Input((7,))
    return compiled(x, Reshape((5, 1))(Dense(5, activation="sigmoid")(x)), "binary_crossentropy")


def at_every_step():
    x = Input((4, 7))
    return compiled(x, Dense(5, activation="sigmoid")(x), "binary_crossentropy")


APART = {
    "a metric reads the prediction": lambda: dense(metrics=["binary_accuracy"]),
    "another activation": lambda: dense(activation="relu"),
    "another loss": lambda: dense("mse"),
    "a penalty on the prediction": lambda: dense(activity_regularizer="l1"),
    "another last layer": behind_a_reshape,
    "a sequence": at_every_step,
}


@pytest.mark.parametrize("reason", APART)
def test_the_loss_stays_apart(reason, device, rng):
    model = APART[reason]()
    assert DenseBinaryCrossentropy not in assert_same_step(model, device, rng)[0]
    assert not model._using.computes_loss


def test_the_same_model_without_a_metric_is_fused(device, rng):
    """What the cases above are held against; and compile decides anew."""
    model = dense(metrics=["binary_accuracy"])
    model.compile("sgd", "binary_crossentropy")
    assert assert_same_step(model, device, rng)[0] == [DenseBinaryCrossentropy]
