"""What test_processes.py runs in one process and, by `python -m tests.distributed.trained WHAT FOLDER`, in several."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np

import scratchae
from scratchae import Input, Model, distributed, layers
from scratchae.autoencoders import convolutional, recurrent, sparse, variational
from scratchae.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau
from scratchae.distributed import processes
from scratchae.optimizers import SGD, Adam

N = 23  # samples: batches of 8, the last one of 7


def rows(*shape):
    return np.random.default_rng(5).random((N, *shape), dtype=np.float32)


def vanilla(optimizer="adam"):
    x = Input((9,))
    h = layers.Dense(6, "relu")(x)
    auto = Model(x, layers.Dense(9, "sigmoid")(h))
    auto.compile(optimizer, "binary_crossentropy")
    return auto


def noisy(optimizer="sgd"):
    """Two kinds of noise, and penalties on a weight, a bias and an activation; metrics, too."""
    x = Input((9,))
    h = layers.Dropout(0.3)(layers.GaussianNoise(0.1)(x))
    h = layers.Dense(6, "relu", kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l1")(h)
    auto = Model(x, layers.Dense(9, "sigmoid")(h))
    auto.compile(optimizer, "mse", metrics=["mae", "binary_crossentropy"])
    return auto


def images():
    return convolutional.autoencoder((12, 12, 1), [3, 2, 2], (2, 2, 2))[2]


def codes():
    return variational.autoencoder(9, [6], 2)[2]


def deciding():
    """Callbacks that decide by the validation loss; no improvement is large enough for them."""
    return [EarlyStopping(patience=3, min_delta=9.0, restore_best_weights=True), ReduceLROnPlateau(patience=1)]


# name: a model, its data, and how fit differs from the usual. In float64 on `reference`, but for those that say so
CASES = {
    "vanilla": (vanilla, rows(9), {}),
    "fewer samples than processes": (vanilla, rows(9), {"batch_size": 3}),
    "sample weights": (noisy, rows(9), {"sample_weight": np.linspace(0, 2, N)}),
    "noise and penalties": (noisy, rows(9), {"shuffle": False}),
    "sparse": (lambda: sparse.autoencoder(9, [6], 3, 0.01)[2], rows(9), {}),
    "variational": (codes, rows(9), {}),
    "convolutional": (images, rows(12, 12, 1), {}),
    "recurrent": (lambda: recurrent.autoencoder(4, 3, 2)[2], rows(4, 3), {}),
    "clipped": (partial(vanilla, SGD(0.1, global_clipnorm=0.01)), rows(9), {}),
    "averaged": (partial(vanilla, Adam(use_ema=True, ema_overwrite_frequency=4)), rows(9), {}),
    "accumulated": (partial(vanilla, Adam(gradient_accumulation_steps=2)), rows(9), {}),
    "callbacks that decide": (vanilla, rows(9), {"epochs": 9, "callbacks": deciding()}),
    "float32": (noisy, rows(9), {}),
    "float32 on cpu, variational": (codes, rows(9), {}),
    "float32 on cpu, convolutional": (images, rows(12, 12, 1), {}),
}


def train(case):
    """What was logged, then the weights."""
    scratchae.set_device("cpu" if "cpu" in case else "reference")
    scratchae.set_floatx("float32" if "float32" in case else "float64")
    scratchae.set_random_seed(3)
    make, x, arguments = CASES[case]
    auto = make()
    usual = {"epochs": 2, "batch_size": 8, "verbose": 0, "validation_data": (x[:5], x[:5])}
    history = auto.fit(x, x, **(usual | arguments)).history
    return [np.array([history[key] for key in sorted(history)]), *auto.get_weights()]


def train_all(but=None):
    """All results by name, but for cases with a word in their name."""
    cases = [case for case in CASES if but is None or but not in case]
    return {f"{case}: {i}": array for case in cases for i, array in enumerate(train(case))}


def unseeded():
    """The weights of a model for which nobody has set a seed."""
    scratchae.set_device("reference")
    auto = noisy()
    auto.fit(rows(9), rows(9), verbose=0)
    return np.concatenate([w.reshape(-1) for w in auto.get_weights()])


def refusals(rank):
    """The errors that all processes meet alike, so that each can catch them, and go on."""
    scratchae.set_device("reference")
    scratchae.set_floatx("float32")

    def error_of(x=rows(9), seed=3, rate=0.1, **options):  # noqa: B008
        scratchae.set_random_seed(seed)
        auto = noisy(SGD(rate))

        def change(epoch, logs):
            auto.set_weights([w + rank for w in auto.get_weights()])

        callbacks = [LambdaCallback(on_epoch_end=change)] if options.pop("changed", False) else []
        try:
            auto.fit(x, x, verbose=0, callbacks=callbacks, **options)
        except (ValueError, RuntimeError, FloatingPointError) as error:
            return f"{type(error).__name__}: {error}"
        return "none"

    backwards = rows(9)[::-1] if rank else rows(9)
    return {
        "fewer rows": error_of(rows(9)[rank:]),
        "other rows": error_of(backwards),
        "other epochs": error_of(epochs=1 + rank),
        "other seeds": error_of(seed=rank),
        "other validation": error_of(validation_data=(backwards, backwards)),
        "not finite": error_of(rate=1e30, epochs=3),
        "changed weights": error_of(epochs=2, changed=True),
    }


def stopped(rank):
    """After how many epochs training ends where the last process alone asks for it, in the second."""
    auto = vanilla()

    def stop(epoch, logs):
        auto.stop_training = epoch == 1 and rank == distributed.world().size - 1

    return len(auto.fit(rows(9), rows(9), epochs=5, verbose=0, callbacks=[LambdaCallback(on_epoch_end=stop)]).epoch)


def die(rank, folder, how):
    """Train, with a checkpoint after each epoch; process 1 comes to its end in the third, or does not ("resumed")."""
    x = rows(9)
    scratchae.set_device("reference")
    scratchae.set_random_seed(3)
    processes.PATIENCE = 0.5

    def end(epoch, logs):
        if epoch == 2 and how == "nan":
            x[20] = np.nan  # in the share of process 1
        elif epoch == 2 and rank == 1 and how != "resumed":
            os.kill(os.getpid(), {"killed": signal.SIGKILL, "interrupted": signal.SIGINT}[how])

    keep, backup = ModelCheckpoint(folder / "{epoch}.safetensors"), BackupAndRestore(folder / "backup")
    callbacks = [LambdaCallback(on_epoch_begin=end), keep, backup]
    vanilla().fit(x, x, batch_size=N, epochs=4, shuffle=False, verbose=0, callbacks=callbacks)


def main(what, folder):
    group, folder = distributed.start(), Path(folder)
    rank = group.rank
    if what == "all":
        but = None if group.size == 2 else "cpu"  # whose kernels take a second to load
        results = {"unseeded": unseeded(), **train_all(but), **refusals(rank), "stopped": stopped(rank)}
        np.savez(folder / f"{rank}.npz", **results)
    else:
        die(rank, folder, what)


if __name__ == "__main__":
    main(*sys.argv[1:])
