"""Objects made again from their configurations, and what these may not ask for."""

import json

import pytest

from scratchae import initializers, layers, losses, metrics, optimizers, regularizers
from scratchae.configuration import deserialize, serialize
from scratchae.files.classes import ALLOWED
from scratchae.layers import Conv2D, Dense
from scratchae.optimizers import schedules

THINGS = [
    layers.Activation("tanh"),
    layers.ActivityRegularization(0.1, 0.2),
    layers.Conv2D(3, (5, 3), "same", "relu", False, "he_uniform", "ones", "l1", "l2", activity_regularizer="l1_l2"),
    layers.Dense(3, "sigmoid", kernel_initializer=initializers.RandomNormal(0.5, 2), trainable=False, name="named"),
    layers.Dropout(0.5),
    layers.Flatten(),
    layers.GaussianNoise(0.5),
    layers.InputLayer((3, 4)),
    layers.LSTM(3, True, recurrent_initializer=initializers.RandomUniform(-1, 1), unit_forget_bias=False),
    layers.MaxPooling2D(2, padding="same"),
    layers.RepeatVector(3),
    layers.Rescaling(2, 1.5),
    layers.Reshape((3, -1)),
    layers.Sampling(beta=4),
    layers.TimeDistributed(layers.Dense(3, bias_initializer=initializers.Constant(0.5), activity_regularizer="l1")),
    layers.UpSampling2D(dtype="float64"),
    initializers.GlorotUniform(),
    initializers.Orthogonal(),
    initializers.Zeros(),
    regularizers.L1L2(0.1, 0.2),
    regularizers.Regularizer(0.1, 0.2),
    losses.BinaryCrossentropy(),
    losses.MeanAbsoluteError(),
    losses.MeanSquaredError(),
    losses.SummedBinaryCrossentropy(),
    metrics.BinaryAccuracy("seen", 0.25),
    metrics.BinaryCrossentropy(),
    metrics.LossMetric(losses.SummedBinaryCrossentropy(), "sum"),
    metrics.MeanAbsoluteError("mae"),
    metrics.MeanSquaredError(),
    optimizers.Adadelta(0.5, 0.9, 1e-6),
    optimizers.Adam(schedules.CosineDecay(0.1, 7, 0.2, 0.3, 5), use_ema=True, gradient_accumulation_steps=3),
    optimizers.AdamW(0.1, 0.2, beta_1=0.5, amsgrad=True),
    optimizers.RMSprop(0.1, 0.2, 0.3, 0.4, True, clipnorm=5),
    optimizers.SGD(0.1, 0.2, True, weight_decay=0.5),
    schedules.ExponentialDecay(0.1, 7, 0.5, True),
    schedules.InverseTimeDecay(0.1, 7, 0.5),
    schedules.PiecewiseConstantDecay([3, 5], [3, 2, 1.5]),
    schedules.PolynomialDecay(0.1, 7, 0.01, 2, True),
]


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_an_object_comes_back_from_its_configuration(thing):
    entry = json.loads(json.dumps(serialize(thing)))
    again = deserialize(entry)
    assert type(again) is type(thing)
    assert serialize(again) == entry
    assert type(thing).from_config(thing.get_config()).get_config() == thing.get_config()


def test_every_class_that_a_file_may_name_is_tried():
    nested = json.dumps([serialize(thing) for thing in THINGS])
    for cls in ALLOWED:
        assert f'"module": "{cls.module}", "class_name": "{cls.__name__}"' in nested


def test_configurations_are_those_of_keras():
    """Written down from Keras 3.15.1, without what is null there."""

    def entry(module, name, config):
        return {"module": module, "class_name": name, "config": config, "registered_name": None}

    config = Conv2D(4, 3, padding="same", activation="relu", name="conv2d").get_config()
    assert {key: value for key, value in config.items() if value is not None} == {
        "name": "conv2d",
        "trainable": True,
        "dtype": entry("keras", "DTypePolicy", {"name": "float32"}),
        "filters": 4,
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "groups": 1,
        "activation": "relu",
        "use_bias": True,
        "kernel_initializer": entry("keras.initializers", "GlorotUniform", {}),
        "bias_initializer": entry("keras.initializers", "Zeros", {}),
    }


def test_what_is_not_supported_says_so():
    config = Conv2D(4, 3).get_config()
    with pytest.raises(ValueError, match=r"Conv2D: strides=\[2, 2\] is not supported; expected \[1, 1\]"):
        Conv2D.from_config({**config, "strides": [2, 2]})
    with pytest.raises(ValueError, match="Dense: lora_rank=4 is not supported; this class has no such argument"):
        Dense.from_config({"units": 3, "lora_rank": 4})
    with pytest.raises(ValueError, match="dtype='bfloat16' is unknown; expected one of 'float32', 'float64'"):
        Dense.from_config({"units": 3, "dtype": "bfloat16"})
    assert Dense.from_config({"units": 3, "kernel_constraint": None}).units == 3


def test_a_class_of_ones_own_that_forgets_an_argument_says_so():
    class Ramp(initializers.Initializer):
        def __init__(self, step):
            pass

    with pytest.raises(TypeError, match="Ramp: its argument 'step' is no attribute of it; keep it as one, or define"):
        Dense(3, kernel_initializer=Ramp(2)).get_config()


def test_an_argument_that_is_no_plain_value_is_refused():
    layer = Dense(3)
    layer.units = object()
    with pytest.raises(TypeError, match="is a object; a configuration holds numbers, strings, lists and objects"):
        layer.get_config()
