"""What TensorBoard shows of training."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import checks
from ..base import Callback
from . import values
from .event_file import EventFile
from .projector import Projector
from .reconstructions import Reconstructions

if TYPE_CHECKING:
    from ...model import Model


class TensorBoard(Callback):
    """Write what `tensorboard --logdir logs` shows: losses, metrics, weights, and what an autoencoder makes of data.

    Folders, names and steps are Keras': log_dir/train and log_dir/validation, epoch_loss, epoch_learning_rate, ... by
    epoch, counted from 0; evaluation_loss_vs_iterations after each evaluation; batch_loss by iteration of the
    optimizer (which goes on in a second fit, where Keras begins anew). Needs tensorboardX: pip install
    'scratchae[tensorboard]'. Whenever training ends, and however, the files are complete up to there; training that is
    resumed goes on in them.

    Args:
        log_dir: the folder.
        histogram_freq: every how many epochs to write histograms of each weight, and of its gradient in the epoch's
            last step; 0: never.
        write_images: with the histograms, each weight as an image, its least number black and its greatest white.
        write_steps_per_second: write how fast training is, with the losses.
        update_freq: "epoch", or every how many batches to write the means of the epoch so far; "batch" is 1. A GPU
            then has to wait for each batch.
        embeddings_freq: every how many epochs to write the codes of `embeddings`; 0: at the end of training.
        reconstructions: samples (N, ...) that are images, as the model takes them; the first 20 are drawn over their
            reconstructions. Bytes count as [0, 1], as Rescaling(1 / 255) makes them.
        reconstructions_freq: every how many epochs.
        embeddings, encoder, labels: samples, the model that makes codes of them, and one label for each: TensorBoard's
            projector shows the codes as points, with the samples on them where these are images.
        image_shape: (H, W) or (H, W, C) of images that are rows of no square.
        write_graph, profile_batch, embeddings_metadata: Keras has them; only their defaults are supported.

    Raises ValueError or TypeError for arguments that are none of these, ImportError without tensorboardX.
    """

    reports = True

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = False,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: None = None,
        *,
        reconstructions: Any = None,
        reconstructions_freq: int = 1,
        embeddings: Any = None,
        encoder: Model | None = None,
        labels: Sequence[Any] | np.ndarray | None = None,
        image_shape: Sequence[int] | None = None,
    ):
        try:
            import PIL  # noqa: F401
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise ImportError("TensorBoard needs tensorboardX: pip install 'scratchae[tensorboard]'") from error
        if write_graph or profile_batch or embeddings_metadata is not None:
            raise ValueError(
                "TensorBoard: write_graph, profile_batch and embeddings_metadata are not supported; leave them out "
                "(labels= are what embeddings_metadata would be)"
            )
        self.log_dir = Path(log_dir)
        self.histogram_freq = frequency("histogram_freq", histogram_freq)
        self.embeddings_freq = frequency("embeddings_freq", embeddings_freq)
        self.reconstructions_freq = frequency("reconstructions_freq", reconstructions_freq)
        if write_images and not histogram_freq:
            raise ValueError("TensorBoard: write_images=True writes with the histograms; give histogram_freq=1, too")
        self.write_images, self.write_steps_per_second = write_images, write_steps_per_second
        if update_freq != "epoch":
            every = 1 if update_freq == "batch" else update_freq
            self.update_freq = checks.positive_integer("TensorBoard", "update_freq", every)
            # An attribute of this object, and no method of the class: other objects don't listen to batches.
            self.on_train_batch_end = self._write_batch  # type: ignore[method-assign]
        if (embeddings is None) != (encoder is None) or (labels is not None and embeddings is None):
            raise ValueError("TensorBoard: embeddings= and encoder= belong together, and labels= to them")
        self.reconstructions = None if reconstructions is None else Reconstructions(reconstructions, image_shape)
        self.projector = None if encoder is None else Projector(encoder, embeddings, labels, image_shape)
        self._train, self._validation = EventFile(self.log_dir / "train"), EventFile(self.log_dir / "validation")
        self._epoch: int | None = None  # the last one that has ended
        self._epoch_began = self._batch_began = 0.0
        self._iterations_before = 0

    # ---- hooks ------------------------------------------------------------------------------------------------------
    def on_train_begin(self, logs=None):
        if self.reconstructions is not None:
            self.reconstructions.check(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began, self._iterations_before = time.perf_counter(), self._iterations()

    def on_train_batch_begin(self, batch, logs=None):
        self._batch_began = time.perf_counter()

    def _write_batch(self, batch, logs=None):
        step = self._iterations()
        if step % self.update_freq == 0:
            logs = dict(logs or {})
            if self.write_steps_per_second:
                logs["steps_per_second"] = 1 / (time.perf_counter() - self._batch_began)
            self._train.write(step, values.scalars("batch_{}", logs))

    def on_test_end(self, logs=None):
        self._validation.write(self._iterations(), values.scalars("evaluation_{}_vs_iterations", logs or {}))

    def on_epoch_end(self, epoch, logs=None):
        assert self.model.optimizer is not None  # it is compiled
        self._epoch = epoch
        logs = {**(logs or {}), "learning_rate": self.model.optimizer.learning_rate}
        if self.write_steps_per_second:
            seconds = time.perf_counter() - self._epoch_began
            logs["steps_per_second"] = (self._iterations() - self._iterations_before) / seconds
        validation = {key.removeprefix("val_"): logs.pop(key) for key in list(logs) if key.startswith("val_")}
        self._train.write(epoch, values.scalars("epoch_{}", logs))
        if validation:
            self._validation.write(epoch, values.scalars("epoch_{}", validation))
        if is_due(self.histogram_freq, epoch):
            self._train.write(epoch, values.weights(self.model, self.write_images))
        if self.reconstructions is not None and is_due(self.reconstructions_freq, epoch):
            picture = self.reconstructions.picture(self.model)
            self._train.write(epoch, values.image("reconstructions", picture))
        if self.projector is not None and is_due(self.embeddings_freq, epoch):
            self.projector.write(self._train.folder, epoch)

    def on_train_end(self, logs=None):
        if self.projector is not None and not self.embeddings_freq and self._epoch is not None:
            self.projector.write(self._train.folder, self._epoch)

    def get_state(self):
        return {"epoch": self._epoch, "train": self._train.position(), "validation": self._validation.position()}

    def set_state(self, state):
        self._epoch = state["epoch"]
        self._train.go_back(state["train"])
        self._validation.go_back(state["validation"])

    def _iterations(self) -> int:
        assert self.model.optimizer is not None
        return self.model.optimizer.iterations


def frequency(name: str, value: int) -> int:
    """value, every how many epochs; 0 is never."""
    return 0 if value == 0 and value is not False else checks.positive_integer("TensorBoard", name, value)


def is_due(frequency: int, epoch: int) -> bool:
    """Whether to write after this epoch, counted from 0: Keras begins with the first one."""
    return frequency > 0 and epoch % frequency == 0
