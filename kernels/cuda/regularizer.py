"""l1 sum |x| + l2 sum x^2, and sums over everything: regularizer.cu."""

from __future__ import annotations

from .launcher import Source, blocks, machine_of

THREADS = 256  # as in regularizer.cu
FOURS = 4 * THREADS  # elements of a block that passes over them once
LARGEST_SUM = 1024  # blocks, and numbers that are left to be added

source = Source("regularizer")


def l1_l2_forward(value, x, l1, l2, scale):
    partial, count = partials(x)
    source.launch("l1_l2_forward", count, THREADS, value, partial, x, x.size, l1, l2, scale)
    add_up(value, partial, count, scale)


def l1_l2_backward(dx, x, l1, l2, scale):
    source.launch("l1_l2_backward", blocks(x.size, FOURS), THREADS, dx, x, x.size, scale * l1, 2 * scale * l2)


def partials(x):
    """Memory for a sum over x by several blocks, and their number."""
    count = min(blocks(x.size, 4 * FOURS), LARGEST_SUM)
    return machine_of(x).scratch(count), count


def add_up(value, partial, count, scale):
    """value[0] += scale * the blocks' sums; one block alone has done so."""
    if count > 1:
        source.launch("add_partials", 1, THREADS, value, partial, count, scale)
