"""ONNX files: what onnxruntime makes of them is what predict gives, and what they can't hold is refused."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import scratchae
from scratchae import Input, Model, Sequential
from scratchae import layers as all_layers
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational
from scratchae.files.onnx import as_onnx
from scratchae.files.onnx_layers import WRITERS
from scratchae.layers import (
    LSTM,
    Activation,
    ActivityRegularization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    MaxPooling2D,
    RepeatVector,
    Rescaling,
    Reshape,
    Sampling,
    TimeDistributed,
    UpSampling2D,
)

BATCHES = 1, 3, 17


@pytest.fixture(autouse=True)
def plain_kernels():
    scratchae.set_device("reference")


def session_from(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would spin for work where the tests leave no core free
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def session_of(model):
    """What onnxruntime makes of a model's file, after ONNX' own checks of it."""
    proto = as_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    made = {name for node in proto.graph.node for name in node.output if name}
    assert made == {value.name for value in [*inferred.graph.value_info, *inferred.graph.output]} & made
    return session_from(proto.SerializeToString())


def operators(model):
    return [node.op_type for node in as_onnx(model).graph.node]


def compare(model, rng):
    """With random weights, biases among them, onnxruntime and predict agree."""
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    compare_as_it_is(model, rng)


def compare_as_it_is(model, rng):
    """On random data, onnxruntime and predict agree."""
    session = session_of(model)
    names = [value.name for value in session.get_inputs()]
    for n in BATCHES:
        feeds = {v.name: rng.normal(size=(n, *v.shape[1:])).astype(np.float32) for v in session.get_inputs()}
        if "sampling_noise" in feeds:
            model.get_layer("sampling").noise = feeds["sampling_noise"]
        inputs = [feeds[name] for name in names[: len(model.inputs)]]
        expected = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
        expected = expected if isinstance(expected, (list, tuple)) else [expected]
        found = session.run(None, feeds)
        for y, z in zip(found, expected, strict=True):
            assert y.dtype == np.float32
            np.testing.assert_allclose(y, z, rtol=1e-5, atol=1e-5)


# ---- every layer, and every layer behind every other --------------------------------------------------------------
SHAPES = {1: (6,), 2: (5, 4), 3: (7, 9, 2)}  # of a sample, by rank: vectors, sequences, images
ANY = [
    lambda: Dense(3, activation="tanh"),
    lambda: Dense(3, use_bias=False),
    lambda: Activation("sigmoid"),
    lambda: Activation("linear"),
    lambda: Rescaling(0.5, -0.25),
    lambda: Dropout(0.5),
    lambda: GaussianNoise(1.0),
    lambda: ActivityRegularization(l1=0.1),
    lambda: Flatten(),
    lambda: Reshape((-1, 1)),
]
LAYERS = {
    1: [*ANY, lambda: RepeatVector(4)],
    2: [
        *ANY,
        lambda: LSTM(3),
        lambda: LSTM(3, return_sequences=True, activity_regularizer="l2"),
        lambda: LSTM(3, return_sequences=True, use_bias=False),
        lambda: TimeDistributed(Dense(2, activation="relu")),
    ],
    3: [
        *ANY,
        lambda: Conv2D(3, (3, 5), padding="same", activation="relu", kernel_regularizer="l1"),
        lambda: Conv2D(3, (3, 1)),
        lambda: Conv2D(1, 1, use_bias=False, activation="sigmoid"),
        lambda: MaxPooling2D(),
        lambda: MaxPooling2D(padding="same"),
        lambda: UpSampling2D(),
    ],
}


@pytest.mark.parametrize("rank", LAYERS)
def test_every_layer_alone_and_behind_every_other(rank, rng):
    for make in LAYERS[rank]:
        x = Input(SHAPES[rank])
        h = make()(x)
        compare(Model(x, h), rng)
        for make_next in LAYERS[len(h.shape) - 1]:
            compare(Model(x, make_next()(h)), rng)


def test_every_class_of_the_library_is_there():
    classes = {getattr(all_layers, name) for name in all_layers.__all__} - {Layer, all_layers.Input}
    assert set(WRITERS) == classes - {all_layers.InputLayer}


# ---- the autoencoders ----------------------------------------------------------------------------------------------
AUTOENCODERS = {
    "vanilla": lambda: vanilla.autoencoder(20, [10, 7], 4),
    "sparse": lambda: sparse.autoencoder(20, [10], 4, 1e-3),
    "convolutional": lambda: convolutional.autoencoder((20, 12, 2), [5, 4, 3], (3, 2, 3)),
    "variational": lambda: variational.autoencoder(20, [10], 3),
    "recurrent": lambda: recurrent.autoencoder(7, 5, 6),
}


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_encoder_decoder_and_auto_of(kind, rng):
    for model in AUTOENCODERS[kind]():
        compare(model, rng)


def test_a_trained_one_from_its_file(rng, tmp_path):
    encoder, _, auto = convolutional.autoencoder((28, 28, 1), [16, 8, 8], (4, 4, 8))
    x = rng.random((32, 28, 28, 1), np.float32)
    auto.fit(x, x, batch_size=8, epochs=1, verbose=0)
    for model in (auto, encoder):
        model.export(tmp_path / "m.onnx")
        session = session_from(tmp_path / "m.onnx")
        [y] = session.run(None, {session.get_inputs()[0].name: x})
        np.testing.assert_allclose(y, model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)


def test_without_noise_z_is_the_mean(rng):
    encoder, _, _ = variational.autoencoder(8, [], 2)
    session = session_of(encoder)
    data, noise = session.get_inputs()
    assert (noise.name, noise.shape) == ("sampling_noise", ["batch", 2])
    x = rng.random((5, 8), np.float32)
    z, mean, _ = session.run(None, {data.name: x, noise.name: np.zeros((5, 2), np.float32)})
    np.testing.assert_array_equal(z, mean)


def test_float64_models_become_float32(float64, rng):
    for make in AUTOENCODERS.values():
        compare_as_it_is(make()[2], rng)


# ---- what stands in the file ---------------------------------------------------------------------------------------
def test_no_node_is_there_that_need_not_be():
    dense = ["Gemm", "Relu", "Gemm", "Relu", "Gemm", "Relu", "Gemm", "Sigmoid"]
    assert operators(vanilla.autoencoder(8, [4], 2)[2]) == dense
    pooled, upsampled = ["Conv", "Relu", "MaxPool"], ["Conv", "Relu", "Resize"]
    images = ["Transpose", *3 * pooled, *3 * upsampled, "Conv", "Sigmoid", "Transpose"]
    assert operators(convolutional.autoencoder((12, 12, 1), [4, 3, 2], (2, 2, 2))[2]) == images
    sequences = ["Transpose", "LSTM", "Tile", "LSTM", "Squeeze", "Transpose"]
    assert operators(recurrent.autoencoder(4, 3, 2)[2]) == sequences
    x = Input((6, 6, 2))
    branches = [Conv2D(2, 3)(x), Conv2D(3, 3)(x)]  # one transpose for both
    assert operators(Model(x, branches)) == ["Transpose", "Conv", "Conv", "Transpose", "Transpose"]


def test_it_says_what_it_is():
    _, _, auto = variational.autoencoder(8, [5], 2)
    proto = as_onnx(auto)
    assert (proto.producer_name, proto.producer_version) == ("scratchae", scratchae.__version__)
    assert (proto.ir_version, [(o.domain, o.version) for o in proto.opset_import]) == (8, [("", 17)])
    assert proto.graph.name == "autoencoder"
    assert "input_layer_2 (batch, 8), sampling_noise (batch, 2) -> decoder (batch, 8)" in proto.doc_string
    assert "zeros give the mean" in proto.graph.input[1].doc_string


def test_inputs_and_outputs_have_the_names_of_their_layers(rng):
    encoder, _, _ = variational.autoencoder(8, [5], 2)
    session = session_of(encoder)
    assert [(v.name, v.shape, v.type) for v in session.get_outputs()] == [
        (name, ["batch", 2], "tensor(float)") for name in ("sampling", "mean", "log_var")
    ]
    assert [v.name for v in session.get_inputs()] == [encoder.layers[0].name, "sampling_noise"]


def test_outputs_may_be_each_other_or_inputs(rng):
    x, other = Input((4,), name="x"), Input((3,), name="sampling_noise")
    y = Dense(3, name="y")(x)
    noisy = Sampling(name="sampling")([y, Dropout(0.5, name="same")(y)])
    model = Model([x, other], [y, x, y, Dropout(0.5, name="dropped")(y), noisy, other])
    session = session_of(model)
    assert [v.name for v in session.get_inputs()] == ["x", "sampling_noise", "sampling_noise_2"]
    names = [v.name for v in session.get_outputs()]
    assert names == ["y", "x_1", "y_1", "dropped", "sampling", "sampling_noise_1"]
    feeds = {v.name: rng.normal(size=(2, *v.shape[1:])).astype(np.float32) for v in session.get_inputs()}
    noisy.node.layer.noise = feeds["sampling_noise_2"]
    expected = model.predict([feeds["x"], feeds["sampling_noise"]], verbose=0)
    for found, wanted in zip(session.run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_what_is_shared_is_stored_once(rng):
    twice = Dense(4, name="twice")
    inner_input = Input((4,))
    inner = Model(inner_input, Dense(4, name="dense")(twice(inner_input)))
    x = Input((4,))
    model = Model(x, Dense(4, name="dense")(inner(inner(twice(x)))))
    proto = as_onnx(model)
    names = [tensor.name for tensor in proto.graph.initializer]
    twice_and_two = {"twice/kernel", "twice/bias", "dense/kernel", "dense/bias", "dense/kernel_1", "dense/bias_1"}
    assert len(names) == 6
    assert set(names) == twice_and_two
    compare(model, rng)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    _, _, auto = recurrent.autoencoder(4, 3, 2)
    for name in ("a.onnx", "b.onnx"):
        auto.export(str(tmp_path / name))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_verbose_says_what_was_written(tmp_path, capsys):
    encoder, _, _ = vanilla.autoencoder(8, [], 2)
    encoder.export(tmp_path / "m.onnx")
    assert capsys.readouterr().out == ""
    encoder.export(tmp_path / "m.onnx", verbose=True)
    assert "m.onnx: encoder: input_layer (batch, 8) -> dense (batch, 2)" in capsys.readouterr().out


# ---- what is refused ------------------------------------------------------------------------------------------------
class Doubled(Layer):
    """A layer of somebody's own."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m.onnx", "tf_saved_model"), r"format='tf_saved_model' is not supported; expected 'onnx'"),
        (("m.tflite",), r"filepath='m\.tflite' must end in \.onnx"),
        (("m.onnx", "onnx", None, [(None, 4)]), r"input_signature=\[\(None, 4\)\] .* model takes, \(None, 8\)"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    _, _, auto = vanilla.autoencoder(8, [], 2)
    with pytest.raises(ValueError, match=message):
        auto.export(*arguments)


def test_a_layer_without_a_counterpart_is_named_and_the_old_file_stays(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    x = Input((8,))
    model = Model(x, Doubled(name="mine")(Dense(3)(x)))
    with pytest.raises(ValueError, match=r"Doubled\('mine'\) is a Doubled, .* without it, .*Conv2D, Dense"):
        model.export(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_that_waits_for_its_data():
    with pytest.raises(ValueError, match=r"Sequential\('sequential'\) has no input yet; begin it with an Input"):
        Sequential([Dense(3)]).export("m.onnx")


def test_weights_that_float32_does_not_hold(float64):
    _, _, auto = vanilla.autoencoder(4, [], 2)
    auto.set_weights([w + 1e300 for w in auto.get_weights()])
    with pytest.raises(ValueError, match=r"export: 'dense/kernel' .* float32"):
        auto.export("m.onnx")


def test_without_onnx_the_extra_is_named(monkeypatch):
    monkeypatch.delattr(scratchae.files, "onnx")
    monkeypatch.delitem(sys.modules, "scratchae.files.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    _, _, auto = vanilla.autoencoder(4, [], 2)
    with pytest.raises(ImportError, match=r'pip install "scratchae\[onnx\]"'):
        auto.export("m.onnx")
