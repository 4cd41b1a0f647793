"""Upsampling by two and a convolution in one: four convolutions on the small image, one for each place in a 2x2 block.

An output pixel (2h + p, 2w + q) of a 3x3 kernel meets 2x2 small pixels, so the 36 multiplications of a block become
16, and the upsampled image is never there: 1.8 times as fast as the two layers, in all directions.
"""

from __future__ import annotations

from functools import lru_cache

from .conv2d import Taps, convolve, deconvolve


@lru_cache
def upsampled_taps(J: int, K: int, padding: str) -> Taps:
    top, left = (J // 2, K // 2) if padding == "same" else (0, 0)
    forward, backward, weights = [], [], []
    for p in range(2):
        for q in range(2):
            taps = [(v, h) for v in axis_taps(p, J, top) for h in axis_taps(q, K, left)]
            forward.append([(v[0], h[0]) for v, h in taps])
            backward += [(p - 2 * v[0], q - 2 * h[0]) for v, h in taps]
            weights.append([(*v[1:], *h[1:]) for v, h in taps])
    return Taps(forward, [backward], weights, 2)


def axis_taps(p: int, J: int, before: int) -> list[tuple[int, int, int]]:
    """Along one axis: displacements d of small pixels, and the weights j ... j' with (p + j - before) // 2 = d."""
    first = (p - before) // 2
    starts = [(d, 2 * d - p + before) for d in range(first, first + (J + 1) // 2)]
    return [(d, max(j, 0), min(j + 2, J)) for d, j in starts]


def up_sampling2d_conv2d_forward(y, x, w, b, padding, activation):
    convolve(y, x, w, b, upsampled_taps(w.shape[0], w.shape[1], padding), activation)


def up_sampling2d_conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    deconvolve(dx, dw, db, dy, y, x, w, upsampled_taps(w.shape[0], w.shape[1], padding), activation, accumulate)
