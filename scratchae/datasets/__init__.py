"""Data to train on, and noise to train against."""

from . import digits, fashion_mnist, mnist, sequences
from .corruption import corrupt
from .declared import DatasetError
from .loading import load

__all__ = ["DatasetError", "corrupt", "digits", "fashion_mnist", "load", "mnist", "sequences"]
