"""The same elements in another shape, scaled or summed, and batches from a data set: reshape.cu.

A data set of bytes or float32 that is on the device is gathered there. Of one on the host the rows are taken there, and
go to the device as bytes if they are bytes, since the way to it is the slow part.
"""

from __future__ import annotations

import numpy as np

from .data_set import Batch, DataSet, bytes_of
from .launcher import Source, blocks, machine_of

THREADS = 256
LANES, ROWS = 32, 8  # of a block that gathers
CHUNKS = 65535  # that a row is cut into, at most: how high a grid may be
NUMBERS, INDICES = 0, 1  # scratch memories

source = Source("reshape")


def reshape_forward(y, x):
    source.launch("copy", blocks(y.size, 4 * THREADS), THREADS, y, x, y.size)


def reshape_backward(dx, dy):
    reshape_forward(dx, dy)


def rescale_forward(y, x, scale, offset):
    source.launch("rescale", blocks(y.size, 4 * THREADS), THREADS, y, x, y.size, scale, offset)


def rescale_backward(dx, dy, scale):
    rescale_forward(dx, dy, scale, 0.0)


def add(y, x):
    source.launch("add", blocks(y.size, 4 * THREADS), THREADS, y, x, y.size)


# ---- batches --------------------------------------------------------------------------------------------------------
def gather(x, data, rows, flag):
    batch, size = None, 0
    if isinstance(rows, Batch):
        data, scale, rows, batch, size = data.array, data.scale, rows.order, rows.index, rows.size
    elif isinstance(data, DataSet):
        data, scale, rows = data.array, data.scale, placed(x, np.asarray(rows, np.int64), INDICES)
    else:
        numbers, scale = rows_of(data, rows)
        data, rows = placed(x, numbers, NUMBERS), None
    kernel = "gather_bytes" if data.dtype == np.uint8 else "gather_floats"
    N, D = len(x), x.size // max(len(x), 1)
    grid = blocks(N, ROWS), min(blocks(D, LANES), CHUNKS)
    source.launch(kernel, grid, (LANES, ROWS), x, data, rows, batch, flag, N, D, scale, size)


def rows_of(data, rows):
    """Rows of data on the host, as bytes or float32, and what they are to be multiplied with."""
    array, scale = bytes_of(data) or (data, 1.0)
    taken = array[rows]
    if taken.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is counted
            taken = np.asarray(taken, np.float32)
    return taken, scale


def placed(x, numbers, which):
    """Numbers of the host, one after the other, in memory of x's machine."""
    machine = machine_of(x)
    memory = machine.scratch(blocks(numbers.nbytes, 4), which).view(numbers.dtype)[: numbers.size]
    machine.upload(memory, numbers.reshape(-1))
    return memory
