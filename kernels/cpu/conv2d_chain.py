"""Convolutions one after the other, each alone or with its neighbour.

There is no more to it: to wait for all threads costs little here, and what one has written the next finds in the cache.
"""

from __future__ import annotations

from collections.abc import Callable

from .conv2d import conv2d_backward, conv2d_forward
from .conv2d_max_pool2d import conv2d_max_pool2d_backward, conv2d_max_pool2d_forward
from .up_sampling2d_conv2d import up_sampling2d_conv2d_backward, up_sampling2d_conv2d_forward

FORWARD: dict[str | None, Callable[..., None]] = {
    None: conv2d_forward,
    "max_pool2d": conv2d_max_pool2d_forward,
    "up_sampling2d": up_sampling2d_conv2d_forward,
}
BACKWARD: dict[str | None, Callable[..., None]] = {
    None: conv2d_backward,
    "max_pool2d": conv2d_max_pool2d_backward,
    "up_sampling2d": up_sampling2d_conv2d_backward,
}


def conv2d_chain_forward(links):
    for link in links:
        FORWARD[link.neighbour](*link.forward)


def conv2d_chain_backward(links):
    for link in reversed(links):
        BACKWARD[link.neighbour](*link.backward)
