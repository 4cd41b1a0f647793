"""Models, under the name that Keras programs import them from."""

from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential"]
