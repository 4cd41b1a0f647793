"""What doesn't fit is refused in words that name the argument and its value."""

import re

import numpy as np
import pytest

from scratchae import layers
from scratchae.layers import Input

WRONG = [
    (lambda: layers.Dense(0), ValueError, "units=0"),
    (lambda: layers.Dense(-1), ValueError, "units=-1"),
    (lambda: layers.Dense(2.5), TypeError, "units=2.5"),
    (lambda: layers.Dense(True), TypeError, "units=True"),
    (lambda: layers.Dense("3"), TypeError, "units='3'"),
    (lambda: layers.Dense(2, activation="gelu"), ValueError, "activation='gelu'"),
    (lambda: layers.Dense(2, activation=3), ValueError, "activation=3"),
    (lambda: layers.Dense(2, kernel_initializer="magic"), ValueError, "initializer='magic'"),
    (lambda: layers.Dense(2, kernel_regularizer="l3"), ValueError, "regularizer='l3'"),
    (lambda: layers.Dense(2, activity_regularizer=0.1), ValueError, "regularizer=0.1"),
    (lambda: layers.Dense(2, name="a/b"), ValueError, "name='a/b'"),
    (lambda: layers.Dense(2, name=3), ValueError, "name=3"),
    (lambda: layers.Dense(2, input_shape=(3.5,)), TypeError, "input_shape[0]=3.5"),
    (lambda: layers.Conv2D(0, 3), ValueError, "filters=0"),
    (lambda: layers.Conv2D(2, 4), ValueError, "kernel_size=(4, 4)"),
    (lambda: layers.Conv2D(2, (3, 2)), ValueError, "kernel_size=(3, 2)"),
    (lambda: layers.Conv2D(2, (3, 3, 3)), ValueError, "kernel_size=(3, 3, 3)"),
    (lambda: layers.Conv2D(2, 3.0), TypeError, "kernel_size=3.0"),
    (lambda: layers.Conv2D(2, (3, "3")), TypeError, "kernel_size[1]='3'"),
    (lambda: layers.Conv2D(2, 3, padding="SAME"), ValueError, "padding='SAME'"),
    (lambda: layers.Conv2D(2, 3, activation="gelu"), ValueError, "activation='gelu'"),
    (lambda: layers.LSTM(0), ValueError, "units=0"),
    (lambda: layers.LSTM(2.0), TypeError, "units=2.0"),
    (lambda: layers.LSTM(2, activation="relu"), ValueError, "activation='relu'"),
    (lambda: layers.LSTM(2, recurrent_activation="tanh"), ValueError, "recurrent_activation='tanh'"),
    (lambda: layers.MaxPooling2D(3), ValueError, "pool_size=3"),
    (lambda: layers.MaxPooling2D((2, 2, 2)), ValueError, "pool_size=(2, 2, 2)"),
    (lambda: layers.MaxPooling2D(2.0), TypeError, "pool_size=2.0"),
    (lambda: layers.MaxPooling2D(strides=(1, 1)), ValueError, "strides=(1, 1)"),
    (lambda: layers.MaxPooling2D(padding="full"), ValueError, "padding='full'"),
    (lambda: layers.UpSampling2D(3), ValueError, "size=3"),
    (lambda: layers.UpSampling2D("2"), TypeError, "size='2'"),
    (lambda: layers.UpSampling2D(interpolation="bilinear"), ValueError, "interpolation='bilinear'"),
    (lambda: layers.RepeatVector(0), ValueError, "n=0"),
    (lambda: layers.RepeatVector(1.5), TypeError, "n=1.5"),
    (lambda: layers.Reshape((2, -1, -1)), ValueError, "target_shape=(2, -1, -1)"),
    (lambda: layers.Reshape((2, 0)), ValueError, "target_shape[1]=0"),
    (lambda: layers.Reshape((-1, 0)), ValueError, "target_shape[1]=0"),
    (lambda: layers.Reshape((2, 1.5)), TypeError, "target_shape[1]=1.5"),
    (lambda: layers.Reshape(5), TypeError, "target_shape=5"),
    (lambda: layers.Rescaling("a"), TypeError, "scale='a'"),
    (lambda: layers.Rescaling(float("nan")), ValueError, "scale=nan"),
    (lambda: layers.Rescaling(1, offset=float("inf")), ValueError, "offset=inf"),
    (lambda: layers.Activation("softmax"), ValueError, "activation='softmax'"),
    (lambda: layers.GaussianNoise(-0.1), ValueError, "stddev=-0.1"),
    (lambda: layers.GaussianNoise("a"), TypeError, "stddev='a'"),
    (lambda: layers.Dropout(1), ValueError, "rate=1"),
    (lambda: layers.Dropout(-0.5), ValueError, "rate=-0.5"),
    (lambda: layers.Dropout(None), TypeError, "rate=None"),
    (lambda: layers.Sampling(-1), ValueError, "beta=-1"),
    (lambda: layers.Sampling("a"), TypeError, "beta='a'"),
    (lambda: layers.ActivityRegularization(l1=-1), ValueError, "l1=-1"),
    (lambda: layers.ActivityRegularization(l2=float("inf")), ValueError, "l2=inf"),
    (lambda: layers.TimeDistributed(layers.LSTM(2, name="inner")), TypeError, "layer=LSTM('inner')"),
    (lambda: Input((3, None)), ValueError, "shape=(3, None)"),
    (lambda: Input((3, 0)), ValueError, "shape[1]=0"),
    (lambda: Input(0), ValueError, "shape[0]=0"),
    (lambda: Input("abc"), TypeError, "shape='abc'"),
    (lambda: Input(3.5), TypeError, "shape=3.5"),
    (lambda: Input(None), TypeError, "shape=None"),
]

MISFITS = [
    (lambda: layers.Conv2D(2, 3)(Input((5, 5))), ValueError, "(None, 5, 5)"),
    (lambda: layers.Conv2D(2, 3)(Input((2, 5, 1))), ValueError, "(2, 5, 1)"),
    (lambda: layers.MaxPooling2D()(Input((5, 5))), ValueError, "(None, 5, 5)"),
    (lambda: layers.MaxPooling2D()(Input((1, 5, 2))), ValueError, "(1, 5, 2)"),
    (lambda: layers.UpSampling2D()(Input((5,))), ValueError, "(None, 5)"),
    (lambda: layers.LSTM(2)(Input(3)), ValueError, "(None, 3)"),
    (lambda: layers.RepeatVector(2)(Input((3, 4))), ValueError, "(None, 3, 4)"),
    (lambda: layers.TimeDistributed(layers.Dense(2))(Input(3)), ValueError, "(None, 3)"),
    (lambda: layers.Reshape((4,))(Input(3)), ValueError, "(4,)"),
    (lambda: layers.Reshape((2, -1))(Input(3)), ValueError, "(3,)"),
    (lambda: layers.Sampling()(Input(3)), ValueError, "(None, 3)"),
    (lambda: layers.Sampling()([Input(3)]), ValueError, "(None, 3)"),
    (lambda: layers.Sampling()([Input(3), Input(4)]), ValueError, "(None, 4)"),
    (lambda: layers.Dense(2)(np.ones((2, 3))), TypeError, "ndarray"),
    (lambda: layers.Dense(2)([Input(3), Input(3)]), ValueError, "[(None, 3), (None, 3)]"),
    (lambda: layers.Activation("relu")([Input(3), Input(3)]), ValueError, "[(None, 3), (None, 3)]"),
    (lambda: layers.Flatten()([Input(3), Input(3)]), ValueError, "[(None, 3), (None, 3)]"),
]

SECOND_CALLS = [
    (lambda: layers.Dense(2), Input(3), Input(4)),
    (lambda: layers.Conv2D(2, 3), Input((5, 5, 2)), Input((5, 5, 3))),
    (lambda: layers.Conv2D(2, 3), Input((5, 5, 2)), Input((5, 2))),
    (lambda: layers.LSTM(2), Input((5, 3)), Input(3)),
    (lambda: layers.MaxPooling2D(), Input((5, 5, 2)), Input((5, 2))),
    (lambda: layers.RepeatVector(2), Input(3), Input((5, 3))),
    (lambda: layers.Sampling(), [Input(3), Input(3)], [Input(3), Input(4)]),
]


def argument_id(value):
    return value if isinstance(value, str) else None


def refused(call, error, fragment):
    with pytest.raises(error) as caught:
        call()
    assert fragment in str(caught.value)


@pytest.mark.parametrize(("make", "error", "fragment"), WRONG, ids=argument_id)
def test_wrong_arguments(make, error, fragment):
    refused(make, error, fragment)


@pytest.mark.parametrize(("call", "error", "fragment"), MISFITS)
def test_inputs_that_don_t_fit(call, error, fragment):
    refused(call, error, fragment)


@pytest.mark.parametrize(("make", "first", "second"), SECOND_CALLS)
def test_the_second_call_is_checked_like_the_first(make, first, second):
    layer = make()
    layer(first)
    shapes = str(second.shape if not isinstance(second, list) else [tensor.shape for tensor in second])
    with pytest.raises(ValueError, match=re.escape(shapes)):
        layer(second)


@pytest.mark.parametrize("size", [np.int64(3), (np.int32(3), np.int64(3))], ids=repr)
def test_numpy_s_integers_are_integers(size):
    assert layers.Conv2D(np.int64(2), size).kernel_size == (3, 3)
    assert layers.Input(np.int64(3)).shape == (None, 3)
    assert layers.MaxPooling2D(np.int64(2)).padding == "valid"


def test_the_message_names_the_layer():
    with pytest.raises(ValueError, match=r"Conv2D\('eye'\)"):
        layers.Conv2D(2, 3, name="eye")(Input((5, 5)))
