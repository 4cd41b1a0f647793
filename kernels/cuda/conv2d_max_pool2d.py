"""A convolution and its pooling: conv2d_max_pool2d.cu."""

from __future__ import annotations

from .activation import ACTIVATIONS
from .conv2d import THREADS, add_partials, plan_cells, plan_input_gradient, plan_sums, sizes
from .launcher import Source, machine_of

source = Source("conv2d_max_pool2d")


def conv2d_max_pool2d_forward(y, winner, x, w, b, padding, activation):
    plan = plan_forward(len(x), y, x, w, padding)
    source.launch(
        "conv2d_max_pool2d_forward", plan.grid, plan.block, y, winner, x, w, b, *sizes(x, y, w, padding),
        *convolved(x, w, padding), ACTIVATIONS[activation], *plan.work, shared=plan.shared,
    )  # fmt: skip


def conv2d_max_pool2d_backward(dx, dw, db, dy, y, winner, x, w, padding, activation, accumulate):
    rest = *sizes(x, dy, w, padding), *convolved(x, w, padding), ACTIVATIONS[activation]
    if dx is not None:
        plan = plan_input_gradient(len(x), x, w)
        source.launch(
            "conv2d_max_pool2d_input_gradient", plan.grid, plan.block, dx, dy, y, winner, w, *rest, *plan.work,
            shared=plan.shared,
        )  # fmt: skip
    if dw is not None or db is not None:
        sums = plan_weight_gradient(x, dy, w, padding)
        partial = machine_of(x).scratch(sums.numbers)
        source.launch(
            "conv2d_max_pool2d_weight_gradient", sums.grid, THREADS, partial, dy, y, winner, x, *rest, *sums.share,
            shared=sums.shared,
        )  # fmt: skip
        add_partials(dw, db, partial, sums, w, False, 0, accumulate)


def plan_forward(N, y, x, w, padding, threads=THREADS):
    J, K, C, O = w.shape
    _, P, Q, _ = y.shape
    return plan_cells(N, P, Q, C, O, (J, K), J * K, threads=threads)


def plan_weight_gradient(x, dy, w, padding, most=None):
    J, K, C, O = w.shape
    return plan_sums(len(x), *convolved(x, w, padding), O, C, (J, K), O, most=most)


def convolved(x, w, padding):
    """Rows and columns of the convolution."""
    H, W = x.shape[1:3]
    J, K = w.shape[:2]
    return (H, W) if padding == "same" else (H - J + 1, W - K + 1)
