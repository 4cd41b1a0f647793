"""What the five estimators share: everything but the shape of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import checks
from ..callbacks import EarlyStopping
from ..model import Model
from ..training import ROUNDING
from .network import OUTPUT_ACTIVATIONS, Network

ROWS_AT_ONCE = 1024  # whose reconstructions are in memory at a time


class AutoencoderEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, OutlierMixin, BaseEstimator):
    """An autoencoder as a transformer, rows to codes, and as an outlier detector, by the error of reconstruction.

    A subclass names the constructor of its network, and says what it is called with and how rows lie in a sample.

    Args, which every estimator takes:
        epochs: passes through the data.
        batch_size, learning_rate: of a training step with Adam.
        loss: "mse", for any data, with a linear last layer; "binary_crossentropy", for data in [0, 1], with a sigmoid.
            With either, data should be scaled: to unit variance, or to [0, 1].
        contamination: share of the data in `fit` that `predict` takes for outliers, in (0, 0.5].
        early_stopping: whether to put a part of the data aside and stop where the loss on it, val_loss, has not become
            better by tol for n_iter_no_change epochs; the weights are then those of the best epoch.
        validation_fraction, n_iter_no_change, tol: for early stopping.
        device: "cpu", "cuda", ...; None is the library's default. It may be changed after `fit`, too.
        random_state: an integer makes `fit` reproducible, to the bit.
        verbose: 0 silent, 1 a progress bar, 2 a line an epoch.

    Attributes:
        encoder_, decoder_, autoencoder_: the models, compiled; `autoencoder_.save(path)` keeps all three.
        offset_: score below which a row is an outlier; after `partial_fit`, of the rows it was given.
        history_: the loss, and with early stopping val_loss, epoch by epoch; loss_curve_ is the former.
        n_iter_: epochs, and calls of `partial_fit`.
        n_features_in_, feature_names_in_: of X.

    X is anything that scikit-learn takes, (n_samples, n_features). NumPy arrays, memory-mapped ones too, are read batch
    by batch; with early stopping they are copied. Networks compute in float32; float32 data gives float32 codes and
    reconstructions, other data float64.
    """

    _construct: Callable[..., tuple[Model, Model, Model]]  # of scratchae.autoencoders

    def __init__(
        self, epochs, batch_size, learning_rate, loss, contamination, early_stopping, validation_fraction,
        n_iter_no_change, tol, device, random_state, verbose,
    ):  # fmt: skip
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.loss = loss
        self.contamination = contamination
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # ---- for subclasses ---------------------------------------------------------------------------------------------
    def _arguments(self, X: np.ndarray) -> dict[str, Any]:
        """What the constructor is called with for a network that begins with X."""
        raise NotImplementedError

    def _to_samples(self, X: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Rows as the network reads them, (n, *shape)."""
        return X.reshape(len(X), *shape)

    def _to_rows(self, samples: np.ndarray) -> np.ndarray:
        """And back."""
        return samples.reshape(len(samples), -1)

    # ---- training ---------------------------------------------------------------------------------------------------
    def fit(self, X: Any, y: Any = None) -> AutoencoderEstimator:
        """Train a new network to reproduce X; y is ignored."""
        self._check_parameters()
        X = validate_data(self, X)
        self._check_range(self.loss, X)
        random = check_random_state(self.random_state)
        network = self._new_network(X, random)
        training, validation, callbacks = X, None, []
        if self.early_stopping:
            training, validation = train_test_split(X, test_size=self.validation_fraction, random_state=random)
            validation = self._to_samples(validation, network.sample_shape)
            callbacks = [EarlyStopping("val_loss", self.tol, self.n_iter_no_change, restore_best_weights=True)]
        self._train(network, training, self.epochs, callbacks, validation)
        return self._take(network, X)

    def partial_fit(self, X: Any, y: Any = None) -> AutoencoderEstimator:
        """Go on training, or begin, with one pass through X in batches of batch_size.

        Parameters of the network and its loss count where it is made: by `fit`, or by the first call of this.
        """
        self._check_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        network = getattr(self, "_network", None)
        X = validate_data(self, X, reset=network is None)
        if network is None:
            network = self._new_network(X, check_random_state(self.random_state))
        self._check_range(network.loss, X)
        self._train(network, X, epochs=1)
        return self._take(network, X)

    def _check_parameters(self) -> None:
        owner = type(self).__name__
        for name in ("epochs", "batch_size", "n_iter_no_change"):
            checks.positive_integer(owner, name, getattr(self, name))
        checks.number(owner, "learning_rate", self.learning_rate, low=0)
        checks.number(owner, "contamination", self.contamination, low=0, high=0.5, low_open=True)
        checks.number(owner, "validation_fraction", self.validation_fraction, 0, 1, low_open=True, high_open=True)
        checks.number(owner, "tol", self.tol, low=0)
        checks.one_of(owner, "loss", self.loss, tuple(OUTPUT_ACTIVATIONS))

    def _check_range(self, loss: str, X: np.ndarray) -> None:
        if loss == "binary_crossentropy" and (X.min() < -ROUNDING or X.max() > 1 + ROUNDING):
            raise ValueError(
                f"{type(self).__name__}: loss='binary_crossentropy' is for data in [0, 1], and X reaches from "
                f"{X.min():g} to {X.max():g}; scale it with MinMaxScaler(clip=True), or use loss='mse'"
            )

    def _new_network(self, X: np.ndarray, random: np.random.RandomState) -> Network:
        seed = int(random.randint(np.iinfo(np.int32).max))
        return Network(type(self)._construct, self._arguments(X), self.loss, seed)

    def _train(self, network: Network, X: np.ndarray, epochs: int, callbacks=(), validation=None) -> None:
        samples = self._to_samples(X, network.sample_shape)
        network.to(self.device).train(
            samples, epochs, self.batch_size, self.learning_rate, self.verbose, callbacks, validation
        )

    def _take(self, network: Network, X: np.ndarray) -> AutoencoderEstimator:
        """Training has come to its end: from here on the network is this estimator's."""
        self._network = network
        self._n_features_out = int(np.prod(network.decoder.input_shape[1:]))
        self.history_, self.loss_curve_ = network.history, network.history["loss"]
        self.n_iter_ = len(self.loss_curve_)
        self.offset_ = float(np.percentile(self._scores(X), 100 * self.contamination))
        return self

    # ---- what a trained network is asked ----------------------------------------------------------------------------
    @property
    def encoder_(self) -> Model:
        return self._fitted().encoder

    @property
    def decoder_(self) -> Model:
        return self._fitted().decoder

    @property
    def autoencoder_(self) -> Model:
        return self._fitted().auto

    def transform(self, X: Any) -> np.ndarray:
        """The codes of rows, (n_samples, size of a code)."""
        X = self._validated(X)
        network = self._fitted()
        parts = [network.predict(network.coder, samples) for _, samples in self._parts(X)]
        return np.concatenate(parts).reshape(len(X), -1).astype(float_type(X), copy=False)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows, (n_samples, n_features), from codes as `transform` gives them."""
        network = self._fitted()
        X = check_array(X, input_name="X")
        if X.shape[1] != self._n_features_out:
            raise ValueError(
                f"{type(self).__name__}: inverse_transform got {X.shape[1]} columns; expected {self._n_features_out}, "
                "as transform gives"
            )
        samples = network.predict(network.decoder, X.reshape(len(X), *network.decoder.input_shape[1:]))
        return self._to_rows(samples).astype(float_type(X), copy=False)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the mean squared error of each row's reconstruction, whatever the loss: higher is more normal."""
        return self._scores(self._validated(X))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`: what a search maximizes."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` minus `offset_`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for outliers, 1 for all others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _fitted(self) -> Network:
        check_is_fitted(self)
        return self._network.to(self.device)

    def _validated(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False)

    def _parts(self, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows, some at a time, and the samples that they are."""
        for rows in gen_batches(len(X), ROWS_AT_ONCE):
            yield rows, self._to_samples(X[rows], self._network.sample_shape)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        network, errors = self._fitted(), np.empty(len(X))
        for rows, samples in self._parts(X):
            copies = self._to_rows(network.predict(network.copier, samples))
            errors[rows] = np.square(np.subtract(X[rows], copies, dtype=float)).mean(axis=1)
        return -errors

    # ---- for scikit-learn -------------------------------------------------------------------------------------------
    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_network")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def dense_arguments(estimator: Any, X: np.ndarray) -> dict[str, Any]:
    """What the constructors of dense autoencoders have in common, from the parameters of an estimator."""
    owner = type(estimator).__name__
    return {
        "input_dims": X.shape[1],
        "hidden_layers": checks.positive_integers(owner, "hidden_layers", estimator.hidden_layers),
        "latent_dims": checks.positive_integer(owner, "latent_dims", estimator.latent_dims),
    }


def float_type(X: np.ndarray) -> np.dtype:
    """The type of what is computed from X: scikit-learn's transformers keep float32, and make float64 of the rest."""
    return np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
