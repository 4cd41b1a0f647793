"""How activations lie in memory: row by row, images (N, H, W, C), without borders.

A warp reads 32 neighbours in one go whichever axis they belong to, and a tile of an image is copied to shared memory,
zeros around it, before it is used; so neither samples nor borders need a place of their own, as they do on a CPU.
"""

from __future__ import annotations

from math import prod

from .launcher import machine_of


def activation_bytes(shape, dtype, border):
    return prod(shape) * dtype.itemsize


def activation(memory, shape, dtype, border):
    return memory[: activation_bytes(shape, dtype, border)].view(dtype).reshape(shape)


def clear_border(activation):
    """There is none."""


def read(out, activation):
    out[...] = machine_of(activation).download(activation)


def takes(array):
    """What NumPy has is on the host."""
    return False
