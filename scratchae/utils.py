"""The names that Keras programs take from keras.utils."""

from .config import clear_session, set_random_seed

__all__ = ["clear_session", "set_random_seed"]
