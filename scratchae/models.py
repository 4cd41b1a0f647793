"""Models, under the name that Keras programs import them from."""

from .model import Model, Sequential

__all__ = ["Model", "Sequential"]
