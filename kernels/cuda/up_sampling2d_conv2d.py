"""Upsampling and a convolution: up_sampling2d_conv2d.cu."""

from __future__ import annotations

from .activation import ACTIVATIONS
from .conv2d import THREADS, add_partials, border, plan_cells, plan_sums, sizes
from .launcher import Source, blocks, machine_of

source = Source("up_sampling2d_conv2d")


def up_sampling2d_conv2d_forward(y, x, w, b, padding, activation):
    plan = plan_forward(len(x), y, x, w, padding)
    source.launch(
        "up_sampling2d_conv2d_forward", plan.grid, plan.block, y, x, w, b, *sizes(x, y, w, padding),
        ACTIVATIONS[activation], *plan.work, shared=plan.shared,
    )  # fmt: skip


def up_sampling2d_conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    rest = *sizes(x, dy, w, padding), ACTIVATIONS[activation]
    if dx is not None:
        plan = plan_input_gradient(len(x), x, w)
        source.launch(
            "up_sampling2d_conv2d_input_gradient", plan.grid, plan.block, dx, dy, y, w, *rest, *plan.work,
            shared=plan.shared,
        )  # fmt: skip
    if dw is not None or db is not None:
        sums = plan_weight_gradient(x, dy, w, padding)
        partial = machine_of(x).scratch(sums.numbers)
        source.launch(
            "up_sampling2d_conv2d_weight_gradient", sums.grid, THREADS, partial, dy, y, x, *rest, *sums.share,
            shared=sums.shared,
        )  # fmt: skip
        add_partials(dw, db, partial, sums, w, True, 1, accumulate)


def plan_forward(N, y, x, w, padding, threads=THREADS):
    J, K, C, O = w.shape
    _, P, Q, _ = y.shape
    top, left = border(J, K, padding)
    window = (J + 1) // 2 + top % 2, (K + 1) // 2 + left % 2  # what all four kinds of pixels see
    return plan_cells(N, blocks(P, 4), blocks(Q, 4), C, O, window, (J + 1) * (K + 1), phases=4, threads=threads)


def plan_input_gradient(N, x, w, threads=THREADS):
    J, K, C, O = w.shape
    _, H, W, _ = x.shape
    return plan_cells(N, blocks(H, 2), blocks(W, 2), O, C, (J + 1, K + 1), (J + 1) * (K + 1), stride=2, threads=threads)


def plan_weight_gradient(x, dy, w, padding, most=None):
    J, K, _, O = w.shape
    return plan_sums(*x.shape, O, (J + 1, K + 1), O, stride=2, most=most)
