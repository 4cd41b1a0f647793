"""Upsampling and a convolution: up_sampling2d_conv2d.cu."""

from __future__ import annotations

from .activation import ACTIVATIONS
from .conv2d import THREADS, add_partials, border, plan_cells, plan_sums, sizes
from .launcher import Source, blocks, machine_of

source = Source("up_sampling2d_conv2d")


def up_sampling2d_conv2d_forward(y, x, w, b, padding, activation):
    J, K, C, O = w.shape
    N, P, Q, _ = y.shape
    top, left = border(J, K, padding)
    window = (J + 1) // 2 + top % 2, (K + 1) // 2 + left % 2  # what all four kinds of pixels see
    plan = plan_cells(N, blocks(P, 4), blocks(Q, 4), C, O, window, (J + 1) * (K + 1), phases=4)
    source.launch(
        "up_sampling2d_conv2d_forward", plan.grid, plan.block, y, x, w, b, *sizes(x, y, w, padding),
        ACTIVATIONS[activation], *plan.work, shared=plan.shared,
    )  # fmt: skip


def up_sampling2d_conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    N, H, W, C = x.shape
    J, K, _, O = w.shape
    rest = *sizes(x, dy, w, padding), ACTIVATIONS[activation]
    window = J + 1, K + 1
    if dx is not None:
        plan = plan_cells(N, blocks(H, 2), blocks(W, 2), O, C, window, (J + 1) * (K + 1), stride=2)
        source.launch(
            "up_sampling2d_conv2d_input_gradient", plan.grid, plan.block, dx, dy, y, w, *rest, *plan.work,
            shared=plan.shared,
        )  # fmt: skip
    if dw is not None or db is not None:
        sums = plan_sums(N, H, W, C, O, window, O, stride=2)
        partial = machine_of(x).scratch(sums.numbers)
        source.launch(
            "up_sampling2d_conv2d_weight_gradient", sums.grid, THREADS, partial, dy, y, x, *rest, *sums.share,
            shared=sums.shared,
        )  # fmt: skip
        add_partials(dw, db, partial, sums, w, True, 1, accumulate)
