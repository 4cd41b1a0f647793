"""The models of a fitted estimator, which go into a pickle as numbers: no locks, no devices, no layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..backend import default_backend
from ..callbacks import Callback
from ..config import own_session
from ..layers import Input
from ..model import Model
from ..optimizers import Adam

OUTPUT_ACTIVATIONS = {"mse": "linear", "binary_crossentropy": "sigmoid"}
GROUP = 16  # samples, enough for the kernels of large batches


class Network:
    """Encoder, decoder and autoencoder, made by a constructor of scratchae.autoencoders and trained with Adam.

    Args:
        construct, arguments: the constructor, and what it is called with.
        loss: "mse" or "binary_crossentropy"; the last layer's activation goes with it.
        seed: of weights, noise and the order of the data. Nothing else makes two networks differ.
    """

    def __init__(self, construct: Callable[..., Any], arguments: dict[str, Any], loss: str, seed: int):
        self.construct, self.arguments, self.loss, self.seed = construct, arguments, loss, seed
        self.history: dict[str, list[float]] = {}
        self.device: str | None = None  # None: where new layers are
        with own_session(seed):
            self.encoder, self.decoder, self.auto = construct(**arguments, output_activation=OUTPUT_ACTIVATIONS[loss])
            self.optimizer = Adam()
            self.auto.compile(self.optimizer, loss)
            # What gives the code of a sample, and its reconstruction: a variational encoder's mean, not a draw.
            self.coder, self.copier = self.encoder, self.auto
            if len(self.encoder.outputs) > 1:
                self.coder = Model(self.encoder.input, self.encoder.get_layer("mean").output)
                x = Input(self.sample_shape)
                self.copier = Model(x, self.decoder(self.coder(x)))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.auto.input_shape[1:]

    def to(self, device: str | None) -> Network:
        """Move to a device, if it isn't there; returns the network."""
        if device != self.device:
            self.auto.to(device or default_backend().name)
            self.device = device
        return self

    def train(
        self,
        samples: np.ndarray,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        verbose: int | bool,
        callbacks: Sequence[Callback] = (),
        validation: np.ndarray | None = None,
    ) -> None:
        """Train to reproduce the samples, (n, *sample_shape), and add the losses of each epoch to the history."""
        self.optimizer.learning_rate = learning_rate
        validation_data = None if validation is None else (validation, validation)
        history = self.auto.fit(
            samples, samples, batch_size, epochs, verbose, callbacks, validation_data=validation_data
        ).history
        self.history = self.history | {name: self.history.get(name, []) + losses for name, losses in history.items()}

    def predict(self, model: Model, samples: np.ndarray) -> np.ndarray:
        """What one of the models makes of samples: for each the same numbers, whichever others are there.

        Kernels sum in another order where samples are few, which the last ones of many may be as well. So their number
        is made a multiple of GROUP, by repeating some.
        """
        n = len(samples)
        if n % GROUP:
            samples = np.resize(samples, (n + -n % GROUP, *samples.shape[1:]))
        return model.predict(samples, verbose=0)[:n]

    # ---- pickles ----------------------------------------------------------------------------------------------------
    def __getstate__(self) -> dict[str, Any]:
        made_of = {name: getattr(self, name) for name in ("construct", "arguments", "loss", "seed")}
        trained = {
            "weights": self.auto.get_weights(),
            "optimizer": self.optimizer.get_state(),
            "passes": self.auto._passes,
        }
        return {"version": __version__, "made of": made_of, "trained": trained, "history": self.history}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["version"] != __version__:
            warnings.warn(
                f"this estimator was pickled by scratchae {state['version']}, and this is {__version__}: where they "
                "differ, it may give other numbers than it did",
                stacklevel=2,
            )
        self.__init__(**state["made of"])  # type: ignore[misc]
        self.auto.set_weights(state["trained"]["weights"])
        self.optimizer.set_state(state["trained"]["optimizer"])
        self.auto._passes = state["trained"]["passes"]
        self.history = state["history"]
