"""Activations over whole tensors: activation.cu."""

from __future__ import annotations

from .launcher import Source, blocks

ACTIVATIONS = {"linear": 0, "relu": 1, "sigmoid": 2, "tanh": 3}  # common.cuh's numbers
THREADS = 256

source = Source("activation")


def activation_forward(y, x, activation):
    source.launch("activation_forward", blocks(y.size, THREADS), THREADS, y, x, y.size, ACTIVATIONS[activation])


def activation_backward(dx, dy, y, activation):
    source.launch("activation_backward", blocks(dx.size, THREADS), THREADS, dx, dy, y, dx.size, ACTIVATIONS[activation])
