"""The CUDA kernels: CUDA C++ in .cu files, and beside each the Python that launches it. common.cuh is what they share.

The same ops as `reference` under the same names, file by file, for float32. They run where their arrays are: on a GPU
through CuPy (machine.py), or on a processor (emulator/), which runs the same sources and checks every access.
"""

from . import layout
from .activation import activation_backward, activation_forward
from .conv2d import conv2d_backward, conv2d_forward
from .conv2d_chain import conv2d_chain_backward, conv2d_chain_forward
from .conv2d_max_pool2d import conv2d_max_pool2d_backward, conv2d_max_pool2d_forward
from .dense import dense_backward, dense_forward
from .dense_binary_crossentropy import dense_binary_crossentropy
from .dense_chain import dense_chain_backward, dense_chain_forward
from .loss import binary_accuracy, binary_crossentropy, mean_absolute_error, mean_squared_error, weighted_sum
from .lstm import last_step_backward, last_step_forward, lstm_backward, lstm_forward
from .max_pool2d import max_pool2d_backward, max_pool2d_forward
from .optimizer import (
    accumulate_gradient,
    adadelta,
    adam,
    clip_by_norm,
    clip_by_value,
    end_step,
    exponential_average,
    find_nonfinite,
    mean_gradient,
    rmsprop,
    sgd,
    weight_decay,
)
from .random import dropout_backward, dropout_forward, gaussian_noise_backward, gaussian_noise_forward, normal
from .regularizer import l1_l2_backward, l1_l2_forward
from .repeat_vector import repeat_vector_backward, repeat_vector_forward
from .repeat_vector_lstm import repeat_vector_lstm_backward, repeat_vector_lstm_forward
from .reshape import add, gather, rescale_backward, rescale_forward, reshape_backward, reshape_forward
from .sampling import sampling_backward, sampling_forward
from .up_sampling2d import up_sampling2d_backward, up_sampling2d_forward
from .up_sampling2d_conv2d import up_sampling2d_conv2d_backward, up_sampling2d_conv2d_forward

__all__ = [
    "accumulate_gradient",
    "activation_backward",
    "activation_forward",
    "adadelta",
    "adam",
    "add",
    "binary_accuracy",
    "binary_crossentropy",
    "clip_by_norm",
    "clip_by_value",
    "conv2d_backward",
    "conv2d_chain_backward",
    "conv2d_chain_forward",
    "conv2d_forward",
    "conv2d_max_pool2d_backward",
    "conv2d_max_pool2d_forward",
    "dense_backward",
    "dense_binary_crossentropy",
    "dense_chain_backward",
    "dense_chain_forward",
    "dense_forward",
    "dropout_backward",
    "dropout_forward",
    "end_step",
    "exponential_average",
    "find_nonfinite",
    "gather",
    "gaussian_noise_backward",
    "gaussian_noise_forward",
    "l1_l2_backward",
    "l1_l2_forward",
    "last_step_backward",
    "last_step_forward",
    "layout",
    "lstm_backward",
    "lstm_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mean_absolute_error",
    "mean_gradient",
    "mean_squared_error",
    "normal",
    "repeat_vector_backward",
    "repeat_vector_forward",
    "repeat_vector_lstm_backward",
    "repeat_vector_lstm_forward",
    "rescale_backward",
    "rescale_forward",
    "reshape_backward",
    "reshape_forward",
    "rmsprop",
    "sampling_backward",
    "sampling_forward",
    "sgd",
    "up_sampling2d_backward",
    "up_sampling2d_conv2d_backward",
    "up_sampling2d_conv2d_forward",
    "up_sampling2d_forward",
    "weight_decay",
    "weighted_sum",
]
