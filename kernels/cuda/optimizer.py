"""Optimizers over all parameters at once, and what goes with a step: optimizer.cu."""

from __future__ import annotations

from .launcher import Source, blocks, machine_of

THREADS = 256  # as in optimizer.cu
FOURS = 4 * THREADS  # parameters of a block
LARGEST_SUM = 1024  # blocks that add squares, and numbers that are left to be added

source = Source("optimizer")


def over_all(kernel, p, *arguments):
    """A kernel in which every thread updates four of p."""
    source.launch(kernel, blocks(p.size, FOURS), THREADS, *arguments)


def end_step(counters, sums, totals, flag, n):
    source.launch("end_step", 1, THREADS, counters, sums, totals, flag, counters.size, sums.size, n)


# ---- updates --------------------------------------------------------------------------------------------------------
def sgd(p, g, m, lr, flag, momentum, nesterov):
    # Without m there is no velocity to look ahead with.
    over_all("sgd", p, p, g, m, lr, flag, p.size, momentum, nesterov and m is not None)


def adam(p, g, m, v, v_max, t, lr, flag, beta_1, beta_2, epsilon):
    over_all(
        "adam", p, p, g, m, v, v_max, t, lr, flag, p.size, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon
    )  # fmt: skip


def rmsprop(p, g, v, mean, m, lr, flag, rho, momentum, epsilon):
    over_all("rmsprop", p, p, g, v, mean, m, lr, flag, p.size, rho, 1 - rho, momentum, epsilon)


def adadelta(p, g, a, d, lr, flag, rho, epsilon):
    over_all("adadelta", p, p, g, a, d, lr, flag, p.size, rho, 1 - rho, epsilon)


# ---- sums of two ----------------------------------------------------------------------------------------------------
def weight_decay(p, lr, flag, decay):
    over_all("weight_decay", p, p, lr, flag, p.size, decay)


def accumulate_gradient(total, g, flag):
    over_all("combine", total, total, g, flag, total.size, 1, 1)


def mean_gradient(g, total, flag, steps):
    over_all("mean_gradient", g, g, total, flag, g.size, steps)


def exponential_average(average, p, flag, momentum):
    over_all("combine", average, average, p, flag, average.size, momentum, 1 - momentum)


# ---- clipping, and what is not finite -------------------------------------------------------------------------------
def clip_by_value(g, limit):
    over_all("clip_by_value", g, g, g.size, limit)


def clip_by_norm(g, limit):
    count = min(blocks(g.size, 4 * FOURS), LARGEST_SUM)
    if count <= 1:
        source.launch("shrink", count, THREADS, g, None, 0, g.size, limit)
        return
    partial = machine_of(g).scratch(count)
    source.launch("squares", count, THREADS, partial, g, g.size)
    over_all("shrink", g, g, partial, count, g.size, limit)


def find_nonfinite(flag, x, values):
    over_all("find_nonfinite", x, flag, x, values, x.size, values.size)
