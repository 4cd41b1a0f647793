"""How exactly large matrix products are computed: a choice for the whole process."""

from __future__ import annotations

PRECISIONS = ("float32", "tf32x3", "tf32")
_chosen = "float32"


def set_matmul_precision(precision: str) -> None:
    """Choose how large matrix products are computed from now on; a captured graph keeps what was chosen before it.

    float32  multiply-adds in float32, as all small products are
    tf32x3   on tensor cores, in three products of high and low parts: errors of the order of float32's
    tf32     on tensor cores, operands rounded to TF32: relative errors of some 1e-3 for each product

    A GPU without tensor cores for TF32 (before compute capability 8.0) computes in float32 whatever is chosen.
    """
    global _chosen
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is unknown: expected {', '.join(PRECISIONS[:-1])} or tf32")
    _chosen = precision


def matmul_precision() -> str:
    """How large matrix products are computed."""
    return _chosen
