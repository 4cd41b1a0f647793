"""The callback TensorBoard: `callback` says when what is written, `values` in which form, `event_file` where."""

from .callback import TensorBoard

__all__ = ["TensorBoard"]
