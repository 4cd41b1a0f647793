"""What these kernels run on."""

from __future__ import annotations


def describe():
    return "NumPy, float32 and float64, whole batches"


def warm_up(say):
    """NumPy is compiled already."""
