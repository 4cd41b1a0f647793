"""A convolution and its pooling: conv2d_max_pool2d.cu."""

from __future__ import annotations

from .activation import ACTIVATIONS
from .conv2d import THREADS, add_partials, plan_cells, plan_sums, sizes
from .launcher import Source, blocks, machine_of

source = Source("conv2d_max_pool2d")


def conv2d_max_pool2d_forward(y, winner, x, w, b, padding, activation):
    J, K, C, O = w.shape
    N, P, Q, _ = y.shape
    plan = plan_cells(N, P, Q, C, O, (J, K), J * K)
    source.launch(
        "conv2d_max_pool2d_forward", plan.grid, plan.block, y, winner, x, w, b, *sizes(x, y, w, padding),
        *convolved(x, w, padding), ACTIVATIONS[activation], *plan.work, shared=plan.shared,
    )  # fmt: skip


def conv2d_max_pool2d_backward(dx, dw, db, dy, y, winner, x, w, padding, activation, accumulate):
    N, H, W, C = x.shape
    J, K, _, O = w.shape
    rest = *sizes(x, dy, w, padding), *convolved(x, w, padding), ACTIVATIONS[activation]
    if dx is not None:
        plan = plan_cells(N, blocks(H, 2), blocks(W, 2), O, C, (J, K), J * K)
        source.launch(
            "conv2d_max_pool2d_input_gradient", plan.grid, plan.block, dx, dy, y, winner, w, *rest, *plan.work,
            shared=plan.shared,
        )  # fmt: skip
    if dw is not None or db is not None:
        sums = plan_sums(N, *convolved(x, w, padding), O, C, (J, K), O)
        partial = machine_of(x).scratch(sums.numbers)
        source.launch(
            "conv2d_max_pool2d_weight_gradient", sums.grid, THREADS, partial, dy, y, winner, x, *rest, *sums.share,
            shared=sums.shared,
        )  # fmt: skip
        add_partials(dw, db, partial, sums, w, False, 0, accumulate)


def convolved(x, w, padding):
    """Rows and columns of the convolution."""
    H, W = x.shape[1:3]
    J, K = w.shape[:2]
    return (H, W) if padding == "same" else (H - J + 1, W - K + 1)
