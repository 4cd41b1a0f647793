"""The gradient checker finds what is wrong, excuses only kinks, and leaves no trace."""

import re

import numpy as np
import pytest

import scratchae
from scratchae import Model, gradcheck, layers, optimizers
from scratchae.autoencoders import variational
from scratchae.backend import Backend
from scratchae.gradcheck import GradientError
from scratchae.kernels import reference
from scratchae.kernels.reference import dense as dense_kernels

pytestmark = pytest.mark.usefixtures("float64")


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---- sabotage -------------------------------------------------------------------------------------------------------
# wrong(op, *arguments) calls the right op, or should
def twice_the_dw(op, dx, dw, *rest):
    op(dx, dw, *rest)
    if dw is not None:
        dw *= 2


def a_little_less_dx(op, dx, *rest):
    op(dx, *rest)
    dx *= 0.999


def one_entry_of_dw(op, dx, dw, *rest):
    op(dx, dw, *rest)
    dw[2, 3] *= 1.001


def without_bias(op, dx, dw, db, *rest):
    op(dx, dw, None, *rest)


def always(accumulate):
    return lambda op, *arguments: op(*arguments[:-1], accumulate)


def weight_transposed(op, dx, dw, db, dy, y, x, w, *rest):
    op(dx, dw, db, dy, y, x, w.T, *rest)


def kernel_not_turned(op, dx, dw, db, dy, y, x, w, *rest):
    op(dx, dw, db, dy, y, x, w[::-1, ::-1], *rest)


def without_dh_next(op, *arguments):
    *before, wh, accumulate = arguments
    op(*before, np.zeros_like(wh), accumulate)  # its only use is to bring dz to the step before


def forgetting_f(op, *arguments):
    gates = np.array(arguments[7])
    U = gates.shape[2] // 4
    gates[:, :, U : 2 * U] = 0
    op(*arguments[:7], gates, *arguments[8:])


def nothing(op, *arguments):
    pass


def earlier_steps_not_zeroed(op, dh, dy):
    dh[:, -1] = dy


def losers_not_zeroed(op, dx, dy, winner):
    right = np.empty_like(dx)
    op(right, dy, winner)
    dx[right != 0] = right[right != 0]


def mask_of_ones(op, dx, dy, y, activation):
    dx[...] = dy


def at_another_step(op, *arguments):
    op(*(a + np.uint64(1) if getattr(a, "dtype", None) == np.uint64 else a for a in arguments))


def without_divergence_of_log_var(op, dmean, dlog_var, *rest):
    op(dmean, dlog_var, *rest)
    op(np.empty_like(dmean), dlog_var, *rest[:-1], 0.0)


def scaled(index, factor):
    """The op with one of its arguments, a number, multiplied."""

    def wrong(op, *arguments):
        changed = list(arguments)
        changed[index] *= factor
        op(*changed)

    return wrong


def result(index, factor):
    """The op, and one of its results multiplied afterwards."""

    def wrong(op, *arguments):
        op(*arguments)
        if arguments[index] is not None:
            arguments[index][...] *= factor

    return wrong


def other_winner(op, dx, dy, winner):
    op(dx, dy, winner ^ 1)


def d(**options):
    return layers.Dense(4, "tanh", name="d", **options)


def conv(**options):
    return layers.Conv2D(2, 3, "same", "tanh", name="c", **options)


def lstm(**options):
    return layers.LSTM(3, name="l", **options)


FLAT, IMAGE, SERIES = (3, 4), (2, 4, 4, 2), (2, 5, 3)
SABOTAGED_LAYERS = [
    ("dense_backward", twice_the_dw, d, FLAT, "d/kernel"),
    ("dense_backward", a_little_less_dx, d, FLAT, "input 0"),
    ("dense_backward", one_entry_of_dw, d, FLAT, r"d/kernel\[2, 3\]"),
    ("dense_backward", weight_transposed, d, FLAT, "input 0"),
    ("dense_backward", without_bias, d, FLAT, "d/bias: .* NaN"),
    ("dense_backward", result(2, 0.999), d, FLAT, "d/bias"),
    ("dense_backward", always(True), d, FLAT, "d/kernel: .* NaN"),
    ("dense_backward", nothing, d, FLAT, "d/kernel: .* NaN"),
    ("conv2d_backward", twice_the_dw, conv, IMAGE, "c/kernel"),
    ("conv2d_backward", without_bias, conv, IMAGE, "c/bias: .* NaN"),
    ("conv2d_backward", kernel_not_turned, conv, IMAGE, "input 0"),
    ("conv2d_backward", a_little_less_dx, conv, IMAGE, "input 0"),
    ("lstm_backward", without_dh_next, lambda: lstm(return_sequences=True), SERIES, "l/kernel"),
    ("lstm_backward", without_dh_next, lstm, SERIES, "l/kernel"),
    ("lstm_backward", forgetting_f, lstm, SERIES, "l/kernel"),
    ("lstm_backward", result(2, 0.999), lstm, SERIES, "l/recurrent_kernel"),
    ("lstm_backward", result(3, 2), lstm, SERIES, "l/bias"),
    ("lstm_backward", result(0, -1), lstm, SERIES, "input 0"),
    ("last_step_backward", result(0, 0.999), lstm, SERIES, "l/kernel"),
    ("activation_backward", mask_of_ones, lambda: layers.Activation("relu"), FLAT, "input 0"),
    ("max_pool2d_backward", other_winner, layers.MaxPooling2D, IMAGE, "input 0"),
    ("up_sampling2d_backward", result(0, 0.25), layers.UpSampling2D, IMAGE, "input 0"),
    ("repeat_vector_backward", result(0, 0.5), lambda: layers.RepeatVector(2), FLAT, "input 0"),
    ("rescale_backward", scaled(2, 1.001), lambda: layers.Rescaling(3.0), FLAT, "input 0"),
    ("dropout_backward", at_another_step, lambda: layers.Dropout(0.5), IMAGE, "input 0"),
    ("gaussian_noise_backward", result(0, 2), lambda: layers.GaussianNoise(0.5), FLAT, "input 0"),
    ("l1_l2_backward", scaled(3, 0.5), lambda: layers.ActivityRegularization(0.1, 0.3), FLAT, "input 0"),
    ("l1_l2_backward", scaled(2, -1), lambda: layers.ActivityRegularization(0.1, 0.3), FLAT, "input 0"),
]


def sabotage(monkeypatch, name, wrong, where=reference):
    right = getattr(where, name)
    monkeypatch.setattr(where, name, lambda *arguments: wrong(right, *arguments))


@pytest.mark.parametrize(("op", "wrong", "make", "shape", "message"), SABOTAGED_LAYERS)
def test_a_wrong_layer_is_caught(monkeypatch, op, wrong, make, shape, message):
    x = data(*shape)
    gradcheck.check(make(), x)
    sabotage(monkeypatch, op, wrong)
    with np.errstate(all="ignore"), pytest.raises(GradientError, match=f"^{message}"):
        gradcheck.check(make(), x)


@pytest.mark.parametrize(
    ("op", "wrong", "make", "shape"),
    [
        ("last_step_backward", earlier_steps_not_zeroed, lstm, SERIES),
        ("max_pool2d_backward", losers_not_zeroed, layers.MaxPooling2D, IMAGE),
    ],
)
def test_zeros_that_backward_forgets_to_write_are_missed_on_any_memory(monkeypatch, op, wrong, make, shape):
    empty = Backend.empty

    def zeros(self, shape, dtype):
        array = empty(self, shape, dtype)
        array[...] = 0
        return array

    monkeypatch.setattr(Backend, "empty", zeros)
    sabotage(monkeypatch, op, wrong)
    with np.errstate(all="ignore"), pytest.raises(GradientError):
        gradcheck.check(make(), data(*shape))


def test_a_gradient_of_relu_without_its_mask_is_caught(monkeypatch):
    gradcheck.check(layers.Dense(4, "relu"), data(*FLAT))
    monkeypatch.setattr(dense_kernels, "through_activation", lambda dy, y, activation: dy * (y >= 0))
    with pytest.raises(GradientError, match=r"^d/kernel"):
        gradcheck.check(layers.Dense(4, "relu", name="d"), data(*FLAT))


def compiled(outputs, x, loss="mse"):
    model = Model(x, outputs)
    model.compile("adam", loss)
    return model


def called_twice():
    x = layers.Input(4)
    layer = layers.Dense(4, "tanh", name="d")
    return compiled(layer(layer(x)), x)


def two_readers():
    x = layers.Input(4)
    h = layers.Dense(4, "tanh", name="d")(x)
    return compiled(layers.Sampling()([layers.Dense(4, name="a")(h), layers.Dense(4, name="b")(h)]), x)


def penalized():
    x = layers.Input(4)
    return compiled(layers.Dense(4, "sigmoid", name="d", kernel_regularizer="l1_l2")(x), x)


def with_loss(loss):
    def make():
        x = layers.Input(4)
        return compiled(layers.Dense(4, "sigmoid", name="d")(x), x, loss)

    return make


def vae():
    return variational.autoencoder(4, [], 2)[2]


SABOTAGED_MODELS = [
    ("dense_backward", always(False), called_twice, "d/kernel"),
    ("add", nothing, two_readers, "d/kernel"),
    ("sampling_backward", scaled(9, -1), vae, "mean/kernel"),
    ("sampling_backward", without_divergence_of_log_var, vae, "log_var/kernel"),
    ("sampling_forward", scaled(8, 2), vae, "mean/kernel"),
    ("sampling_backward", result(1, 2), vae, "log_var/kernel"),
    ("sampling_backward", at_another_step, vae, "log_var/kernel"),
    ("l1_l2_backward", scaled(4, 2), penalized, "d/kernel"),
    ("mean_squared_error", result(1, 0.5), with_loss("mse"), "d/kernel"),
    ("mean_absolute_error", result(1, -1), with_loss("mae"), "d/kernel"),
    ("binary_crossentropy", result(1, 0.999), with_loss("binary_crossentropy"), "d/kernel"),
    ("binary_crossentropy", scaled(5, 4), with_loss("binary_crossentropy"), None),  # both loss and dy: consistent
]


@pytest.mark.parametrize(("op", "wrong", "make", "message"), SABOTAGED_MODELS)
def test_a_wrong_model_is_caught(monkeypatch, op, wrong, make, message):
    x, weight = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)), np.array([0.5, 2.0, 1.0])
    gradcheck.check(make(), x, x, sample_weight=weight)
    sabotage(monkeypatch, op, wrong)
    if message is None:
        gradcheck.check(make(), x, x, sample_weight=weight)
        return
    with pytest.raises(GradientError, match=f"^{message}"):
        gradcheck.check(make(), x, x, sample_weight=weight)


def test_a_forgotten_sample_weight_is_caught(monkeypatch):
    def unweighted(op, loss, dy, p, t, weight, scale):
        op(loss, dy, p, t, np.full_like(weight, weight.mean()), scale)

    model, x = with_loss("mse")(), data(3, 4)
    sabotage(monkeypatch, "mean_squared_error", unweighted)
    gradcheck.check(model, x, x)
    with pytest.raises(GradientError, match=r"^d/kernel"):
        gradcheck.check(model, x, x, sample_weight=[0.5, 2.0, 1.0])


def test_one_wrong_entry_of_a_large_tensor_is_caught(monkeypatch):
    layer, x = layers.Dense(40, "tanh", name="d"), data(3, 20)
    report = gradcheck.check(layer, x)
    assert report.checked == gradcheck.DIRECTIONS + 40 + 60
    sabotage(monkeypatch, "dense_backward", one_entry_of_dw)
    with pytest.raises(GradientError, match=r"^d/kernel along random direction"):
        gradcheck.check(layer, x)


def test_the_message_has_both_numbers(monkeypatch):
    sabotage(monkeypatch, "rescale_backward", scaled(2, 2))
    with pytest.raises(GradientError) as caught:
        gradcheck.check(layers.Rescaling(3.0), data(1, 1))
    claimed, measured = map(float, re.findall(r"gives? (-?[\d.e+-]+)", str(caught.value)))
    assert claimed == pytest.approx(2 * measured, rel=1e-6)


def test_the_tolerance_is_relative_to_the_largest_gradient(monkeypatch):
    sabotage(monkeypatch, "rescale_backward", scaled(2, 1.001))
    for scale in (1e-4, 1.0, 1e4):
        report = gradcheck.check(layers.Rescaling(scale), data(2, 3), tolerance=1e-2)
        assert 5e-4 < report.worst < 2e-3
        with pytest.raises(GradientError):
            gradcheck.check(layers.Rescaling(scale), data(2, 3), tolerance=1e-4)


# ---- kinks ----------------------------------------------------------------------------------------------------------
KINKS = {
    "relu at zero": (lambda: layers.Activation("relu"), [[0.0, 1.0, -1.0], [2.0, 0.0, 3.0]], 2),
    # differences to both sides and sign(0) agree on 0, so that nothing has to be skipped
    "|x| at zero": (lambda: layers.ActivityRegularization(l1=0.5), [[0.0, 1.0, -1.0], [2.0, 3.0, 4.0]], 0),
    "ties of a maximum": (layers.MaxPooling2D, [[[[1.0], [1.0], [0.1], [0.2]], [[1.0], [1.0], [0.3], [0.4]]]], 4),
    "a tie for second place": (layers.MaxPooling2D, [[[[1.0], [2.0]], [[1.0], [1.0]]]], 0),
    "beside a kink": (lambda: layers.Activation("relu"), [[5e-5, -3e-5, 1.0]], 0),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_skipped_and_counted(name):
    make, x, skipped = KINKS[name]
    report = gradcheck.check(make(), np.array(x))
    assert (report.checked, report.skipped) == (np.size(x) - skipped, skipped)


@pytest.mark.parametrize("name", ["relu at zero", "|x| at zero", "ties of a maximum"])
def test_kinks_elsewhere_excuse_nothing(monkeypatch, name):
    make, x, _ = KINKS[name]
    for op in ("activation_backward", "reshape_backward", "max_pool2d_backward"):
        sabotage(monkeypatch, op, result(0, 0.999))
    with pytest.raises(GradientError, match=r"^input 0"):
        gradcheck.check(make(), np.array(x))


def test_nothing_but_kinks_is_an_error():
    with pytest.raises(GradientError, match="input 0: all 24 derivatives are at kinks"):
        gradcheck.check(layers.MaxPooling2D(), np.ones((2, 2, 2, 3)))


def test_weights_at_a_kink_are_moved_away_from_it():
    x = layers.Input(3)
    dense = layers.Dense(4, "relu", kernel_initializer="zeros")  # zero everywhere: relu's kink
    model = Model(x, layers.Dense(2)(dense(x)))
    model.compile("sgd", "mse")
    report = gradcheck.check(model, data(2, 3), data(2, 2))
    assert report.skipped == 0
    assert (dense.get_weights()[0] == 0).all()


# ---- no trace -------------------------------------------------------------------------------------------------------
def trained(floatx):
    scratchae.set_floatx(floatx)
    scratchae.set_random_seed(1)
    _, _, auto = variational.autoencoder(4, [3], 2)
    auto.compile(optimizers.Adam(0.01, amsgrad=True), "summed_binary_crossentropy")
    auto.fit(DATA, DATA, epochs=2, batch_size=3, verbose=0)
    return auto


DATA = np.random.default_rng(0).uniform(0.1, 0.9, (7, 4))


def everything(model):
    weights = [(p.data, p.grad, p.backend, p.home(), p.dtype) for p in model.weights]
    arrays = [np.array(a) for p in model.weights for a in (p.data, p.grad)]
    arrays += [np.array(array) for array in model.optimizer.state.values()]
    return weights, arrays, model.optimizer.iterations


def assert_untouched(model, before):
    weights, arrays, iterations = everything(model)
    for old, new in zip(before[0], weights, strict=True):
        assert all(a is b for a, b in zip(old, new, strict=True))
    for old, new in zip(before[1], arrays, strict=True):
        np.testing.assert_array_equal(old, new)
    assert iterations == before[2]


@pytest.mark.parametrize("floatx", ["float32", "float64"])
@pytest.mark.parametrize("broken", [False, True])
def test_the_check_leaves_no_trace(monkeypatch, floatx, broken):
    checked, other = trained(floatx), trained(floatx)
    x = DATA.copy()
    before = everything(checked)
    if broken:
        with monkeypatch.context() as patch:
            sabotage(patch, "dense_backward", twice_the_dw)
            with pytest.raises(GradientError):
                gradcheck.check(checked, x, x)
    else:
        gradcheck.check(checked, x, x)
        gradcheck.check(checked, x)
    np.testing.assert_array_equal(x, DATA)
    assert_untouched(checked, before)
    for model in (checked, other):  # and training goes on as if nothing had been: steps, noise and shuffling
        model.fit(DATA, DATA, epochs=2, batch_size=3, verbose=0)
    for a, b in zip(checked.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(checked.predict(DATA, verbose=0), other.predict(DATA, verbose=0))


@pytest.mark.parametrize("make", [lambda: layers.Dense(2), lambda: layers.Rescaling(2.0)])
def test_a_float32_model_stays_one_and_data_may_be_read_only(make):
    scratchae.set_floatx("float32")
    x, array = layers.Input(4), data(3, 4)
    model = Model(x, make()(x))
    array.flags.writeable = False
    gradcheck.check(model, array)
    assert model.predict(array, verbose=0).dtype == np.float32


def test_a_model_that_shares_its_weights_still_has_them():
    encoder, decoder, auto = variational.autoencoder(4, [3], 2)
    before = [a.copy() for a in encoder.get_weights() + decoder.get_weights()]
    gradcheck.check(encoder, DATA)
    for a, b in zip(before, auto.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    auto.fit(DATA, DATA, verbose=0)
    assert all((a != b).any() for a, b in zip(before, encoder.get_weights() + decoder.get_weights(), strict=True))


# ---- what it takes and what it says ---------------------------------------------------------------------------------
def test_a_float32_model_is_checked_in_float64():
    scratchae.set_floatx("float32")
    x = layers.Input(4)
    model = Model(x, layers.Dense(2)(layers.Dense(3, "tanh")(x)))
    model.compile("sgd", "mse")
    assert gradcheck.check(model, data(3, 4), data(3, 2)).worst < 1e-7
    assert gradcheck.check(model, data(3, 4).astype("float32")).worst < 1e-7


@pytest.mark.parametrize(
    "make", [lambda: layers.Activation("tanh"), layers.UpSampling2D, lambda: layers.Rescaling(2.0)]
)
def test_a_layer_without_weights_is_checked_in_float64(make):
    scratchae.set_floatx("float32")
    gradcheck.check(make(), data(*IMAGE))


@pytest.mark.parametrize("chained", [False, True])
def test_a_model_with_several_outputs(chained):
    x = layers.Input(4)
    first = layers.Dense(3, "tanh")(x)
    gradcheck.check(Model(x, [first, layers.Dense(2)(first if chained else x)]), data(3, 4))


def test_every_output_is_checked(monkeypatch):
    x = layers.Input(4)
    model = Model(x, [layers.Dense(3, "tanh", name="a")(x), layers.Rescaling(2.0)(layers.Dense(2, name="b")(x))])
    report = gradcheck.check(model, data(3, 4))
    assert report.checked == (12 + 3 + 12) + (8 + 2 + 12)
    sabotage(monkeypatch, "rescale_backward", scaled(2, 1.001))
    with pytest.raises(GradientError, match=r"^b/kernel"):
        gradcheck.check(model, data(3, 4))


def test_a_model_with_an_input_that_it_ignores():
    x, ignored = layers.Input(4), layers.Input(2)
    gradcheck.check(Model([x, ignored], layers.Dense(3)(x)), [data(3, 4), data(3, 2)])


def test_the_report_says_what_was_done():
    x = layers.Input(4)
    model = Model(x, layers.Dense(2, name="last")(layers.Dense(3, "tanh", name="first")(x)))
    model.compile("sgd", "mse")
    report = gradcheck.check(model, data(3, 4), data(3, 2))
    assert (report.checked, report.skipped) == (12 + 3 + 6 + 2, 0)
    assert 0 < report.worst < 1e-8
    assert report.worst_entry.startswith(("first/", "last/"))
    assert "23 derivatives checked, 0 skipped" in str(report)
    assert report.worst_entry in str(report)
    assert gradcheck.check(model, data(3, 4), data(3, 2)) == report  # the seed decides
    with_input = gradcheck.check(model, data(3, 4))
    assert with_input.checked == 23 + 12


def test_a_frozen_tensor_is_not_checked():
    x = layers.Input(4)
    frozen = layers.Dense(3, "tanh")
    model = Model(x, layers.Dense(2)(frozen(x)))
    frozen.trainable = False
    model.compile("sgd", "mse")
    assert gradcheck.check(model, data(3, 4), data(3, 2)).checked == 6 + 2


def test_targets_need_a_loss():
    x = layers.Input(4)
    with pytest.raises(RuntimeError, match="compile"):
        gradcheck.check(Model(x, layers.Dense(2)(x)), data(3, 4), data(3, 2))


def test_several_inputs_are_a_list():
    inputs = [layers.Input(4), layers.Input(4)]
    model, x = Model(inputs, layers.Sampling()(inputs)), [data(3, 4), data(3, 4, seed=1)]
    assert gradcheck.check(model, x).checked == 24
    assert gradcheck.check(layers.Sampling(), x).checked == 24
    with pytest.raises(ValueError, match="x holds 1 arrays"):
        gradcheck.check(model, x[:1])


def test_data_that_is_not_finite_is_named():
    x, broken = layers.Input(4), data(3, 4)
    model = Model(x, layers.Dense(3)(x))
    broken[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"gradcheck: x\[1, 2\] is nan, which is not finite"):
        gradcheck.check(model, broken)
    gradcheck.check(model, data(3, 4))
