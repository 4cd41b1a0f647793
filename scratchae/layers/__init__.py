"""The layers, under Keras' names."""

from .activation import Activation
from .activity_regularization import ActivityRegularization
from .base import Layer
from .conv2d import Conv2D
from .dense import Dense
from .input_layer import Input, InputLayer
from .lstm import LSTM
from .max_pooling2d import MaxPooling2D
from .noise import Dropout, GaussianNoise
from .repeat_vector import RepeatVector
from .rescaling import Rescaling
from .reshape import Flatten, Reshape
from .sampling import Sampling
from .time_distributed import TimeDistributed
from .up_sampling2d import UpSampling2D

__all__ = [
    "LSTM",
    "Activation",
    "ActivityRegularization",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPooling2D",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Sampling",
    "TimeDistributed",
    "UpSampling2D",
]


def __getattr__(name: str) -> None:
    raise AttributeError(f"layers.{name} is not part of scratchae. Its layers are {', '.join(__all__)}")
