"""How little a training step can do: its arithmetic and its traffic, from the models' shapes alone.

The products of each layer, forward and for both of its gradients; nobody asks the first layer for that of its input. A
convolution behind an upsampling counts the products that are left to do, 4 of 9. And every tensor once where a layer
reads it and once where it is written: the batch, what forward leaves for backward, the gradients; of each parameter ten
numbers, which are its reading forward and backward, its gradient, and Adam's four readings and three writings. The loss
is part of the last layer. Who keeps several layers in the cache or in registers moves less, so this is a mark to be
held against, and no proof.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import NamedTuple

from .peers.models import CHANNELS, LATENT, TIMESTEPS, UNITS, sample_shape, weight_shapes

PARAMETER_PASSES = 10


class Layer(NamedTuple):
    """Numbers of a sample."""

    x: int
    y: int
    products: int  # forward
    recurrent: int = 0  # of these, those whose gradients even the first layer needs: from step to step
    saved: int = 0  # what forward writes and backward reads, besides y
    keeps_y: bool = True  # backward needs y although the loss has its gradient


class Work(NamedTuple):
    """Of a training step."""

    flops: int
    bytes: int

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        """At these rates, arithmetic and traffic at the same time."""
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)

    def bound(self, flops_per_second: float, bytes_per_second: float) -> str:
        """Which of the two takes longer."""
        return "arithmetic" if self.flops / flops_per_second > self.bytes / bytes_per_second else "bytes"


def training_step(model: str, batch: int) -> Work:
    """The least that a step does."""
    flops, numbers = 0, prod(sample_shape(model))  # the batch is written where the first layer reads it
    found = layers(model)
    for i, layer in enumerate(found):
        first, last = i == 0, i == len(found) - 1
        flops += 2 * (2 * layer.products + (layer.recurrent if first else layer.products))
        numbers += layer.x + layer.y + layer.saved  # forward
        numbers += layer.y + layer.saved + layer.x + (0 if first else layer.x)  # backward
        if last:
            numbers += layer.y + (2 * layer.y if layer.keeps_y else 0)  # the target; y and its gradient
        else:
            numbers += layer.y
    parameters = sum(map(prod, weight_shapes(model)))
    return Work(batch * flops, 4 * (batch * numbers + PARAMETER_PASSES * parameters))


def layers(model: str) -> list[Layer]:
    """In order; two that read the same are one."""
    if model in UNITS:
        return dense(UNITS[model])
    if model == "variational":
        return [*dense((784, 512, 4)), Layer(4, 2, 0), *dense((2, 512, 784))]
    if model == "recurrent":
        return lstms(28, LATENT)
    return convolutions()


def dense(units: tuple[int, ...]) -> list[Layer]:
    return [Layer(I, O, I * O, keeps_y=False) for I, O in pairwise(units)]


def convolutions() -> list[Layer]:
    """Sides 28, 14, 7, 4 with a pooling behind each convolution, and 4, 8, 14, 28 with an upsampling before it."""
    found = []
    for i, (before, after) in enumerate(((28, 14), (14, 7), (7, 4), (4, 4), (4, 8), (8, 14), (14, 28))):
        C, O = CHANNELS[i : i + 2]
        pixels, taps = (before**2, 9) if i < 4 else (after**2, 4)
        winners = after**2 * O // 4 if i < 3 else 0  # a byte each
        found.append(Layer(before**2 * C, after**2 * O, pixels * taps * C * O, saved=winners, keeps_y=False))
    return found


def lstms(D: int, U: int) -> list[Layer]:
    """D to U over all steps, of which the last output goes on; U to D from one vector. States and gates are saved."""
    T = TIMESTEPS
    encoder = Layer(T * D, U, 4 * U * T * (D + U), recurrent=4 * U * T * U, saved=T * 6 * U)
    return [encoder, Layer(U, T * D, 4 * D * (U + T * D), saved=T * 5 * D)]
