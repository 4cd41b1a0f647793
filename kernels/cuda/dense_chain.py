"""Dense layers one after another: dense_chain.cu. Here is decided, from shapes alone, which of them share launches."""

from __future__ import annotations

from itertools import chain

from .. import LONGEST_CHAIN, WIDEST_CHAIN
from .activation import ACTIVATIONS
from .dense import PLENTY, SMALL, THREADS, backward_tile, count, dense_backward, dense_forward, split
from .launcher import Source, blocks, machine_of

ROWS = 8  # samples of a block, as in dense_chain.cu

source = Source("dense_chain")


def dense_chain_forward(ys, x, ws, bs, activations):
    xs, alone = [x, *ys], layers_alone(x, ws)
    for i in range(alone):
        dense_forward(ys[i], xs[i], ws[i], bs[i], activations[i])
    if alone < len(ws):
        N, *numbers = sizes(xs[alone], ws[alone:], activations[alone:])
        arrays = *five(ys[alone:]), xs[alone], *five(ws[alone:]), *five(bs[alone:])
        source.launch("dense_chain_forward", blocks(N, ROWS), THREADS, *arrays, N, *numbers)


def dense_chain_backward(dx, dws, dbs, dys, ys, x, ws, activations, accumulate):
    """Scratch 0 and 1 are overwritten."""
    xs, dxs, alone = [x, *ys], [dx, *dys], layers_alone(x, ws)
    # The parameters of a first layer that stands alone go with the others', unless there is a dx to compute beside
    # them, or larger tiles are better.
    apart = int(alone == 1 and (dx is not None or backward_tile(x, ws[0], dx, dws[0]) != SMALL))
    if alone == len(ws) or len(ws) <= apart + 2:  # no launch less, and dx and dw of a layer have blocks side by side
        alone = apart = len(ws)
    else:
        N, *numbers = sizes(xs[alone], ws[alone:], activations[alone:])
        arrays = dxs[alone], *five(dys[alone:]), *five(ys[alone:]), *five(ws[alone:])
        source.launch("dense_chain_input_gradients", blocks(N, ROWS), THREADS, *arrays, N, *numbers)
        given = dws[apart:], dbs[apart:], dys[apart:], ys[apart:], xs[apart], ws[apart:], activations[apart:]
        parameter_gradients(*given, accumulate)
    for i in reversed(range(apart)):
        dense_backward(dxs[i], dws[i], dbs[i], dys[i], ys[i], xs[i], ws[i], activations[i], accumulate)


def parameter_gradients(dws, dbs, dys, ys, x, ws, activations, accumulate):
    """dw and db of all layers, from the gradients of their outputs."""
    N, *numbers = sizes(x, ws, activations)
    pairs = list(zip(dws, dbs, strict=True))
    tiles = sum(count(SMALL, *w.shape) for w in ws)  # or fewer, if some layers are not trained
    splits, rows = split(N, tiles, SMALL)
    total = sum(d.size for d in chain(*pairs) if d is not None)
    parts = machine_of(x).scratch(splits * total) if splits > 1 else None
    written = pairs if parts is None else cut(parts, pairs, splits)
    arrays = *five(dw for dw, _ in written), *five(db for _, db in written), *five(dys), *five(ys), x
    last = accumulate and splits == 1, tiles, rows
    source.launch("dense_chain_parameter_gradients", splits * tiles, THREADS, *arrays, N, *numbers, *last)
    if splits > 1:
        source.launch(
            "dense_chain_add_splits", blocks(total, THREADS), THREADS, *five(dws), *five(dbs), parts,
            *numbers[: LONGEST_CHAIN + 1], splits, total, accumulate,
        )  # fmt: skip


def cut(parts, pairs, splits):
    """Memory for so many parts of each dw and db, out of the memory for all."""
    start, found = 0, []
    for d in chain(*pairs):
        end = start + (0 if d is None else splits * d.size)
        found.append(None if d is None else parts[start:end])
        start = end
    return list(zip(found[::2], found[1::2], strict=True))


def layers_alone(x, ws):
    """How many layers in front have launches of their own: the first, if it reads many features, or all of them, if
    there are many samples; see dense_chain.cu."""
    wide = int(len(ws[0]) > WIDEST_CHAIN)
    many = blocks(x.size // len(ws[0]), ROWS) > PLENTY
    return len(ws) if many or len(ws) < wide + 2 else wide


def sizes(x, ws, activations):
    """N, I, and of each layer O and its activation, as kernels take them."""
    I = len(ws[0])
    return x.size // I, I, *five((w.shape[1] for w in ws), 0), *five((ACTIVATIONS[a] for a in activations), 0)


def five(values, rest=None):
    """The values, and `rest` for layers that are not there."""
    values = list(values)
    return [*values, *[rest] * (LONGEST_CHAIN - len(values))]
