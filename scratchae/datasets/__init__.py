"""Data to train on, and noise to train against."""

from . import digits
from .corruption import corrupt

__all__ = ["corrupt", "digits"]
