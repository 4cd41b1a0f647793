"""One vector at every time step, or at the last only (see lstm.py): repeat_vector.cu."""

from __future__ import annotations

from .launcher import Source, blocks

THREADS = 256

source = Source("repeat_vector")


def repeat_vector_forward(y, x):
    spread(y, x, 0)


def repeat_vector_backward(dx, dy):
    total(dx, dy, 0)


def spread(y, x, first):
    """y (N, T, D) is x (N, D) at the steps from `first` on, and zero before."""
    source.launch("spread", blocks(x.size, THREADS), THREADS, y, x, *y.shape, first)


def total(x, y, first):
    """x (N, D) is the sum of y (N, T, D) over the steps from `first` on."""
    source.launch("total", blocks(x.size, THREADS), THREADS, x, y, *y.shape, first)
