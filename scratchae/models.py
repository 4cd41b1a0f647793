"""Models, under the names that Keras programs import them from."""

from .files import load_model
from .files import save as save_model
from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "load_model", "save_model"]
