"""Do our models train to the test loss of the same models in Keras 3?

    python -m benchmarks.keras_losses --data mnist.npz [--keras-python PATH]

The file holds x_train and x_test, uint8 images (N, 28, 28). Each library trains each model from each seed in a process
of its own, as Keras' backend and seeds belong to a process; --keras-python is for a Keras that is installed elsewhere,
with jax and numpy. Initial weights, order of samples and noise differ between the libraries even for one seed, so only
means over seeds are compared: they must agree within 2 %. The exit status is 1 if they don't.

benchmarks/results/keras_losses.json gets every run, keras_losses.md the table. `--smoke` tries everything in a few
seconds (with Keras, in a minute) on random images, writes no file, and leaves Keras out where it is missing.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from .machine import child_environment, processor_name

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = "scratchae", "keras"
MODELS = {  # what our autoencoder(...) takes; the Keras models below are these, written out
    "vanilla": (784, [128, 64], 32),
    "sparse": (784, [128, 64], 32, 1e-5),
    "convolutional": ((28, 28, 1), [16, 8, 8], (4, 4, 8)),
    "variational": (784, [512], 2),
}
EPOCHS = 10
BATCH_SIZE = 256
LIMIT = 2.0  # per cent between the means


# ---- one run, in its own process ------------------------------------------------------------------------------------
def load_images(data: str | None) -> tuple[Any, Any]:
    """x_train and x_test, float32 in [0, 1], from an .npz file; without one, a few random images."""
    import numpy as np

    if data is None:
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (64, 32)]
    else:
        with np.load(data) as file:
            images = [file["x_train"], file["x_test"]]
    x_train, x_test = (array.astype("float32") / 255 for array in images)
    return x_train, x_test


def run(library: str, model: str, seed: int, data: str | None) -> dict[str, Any]:
    """Train one model and measure it: everything that the results keep of a run."""
    x_train, x_test = load_images(data)
    build = build_scratchae if library == "scratchae" else build_keras
    auto, device, versions = build(model, seed)
    shape = tuple(auto.input_shape[1:])
    x_train, x_test = x_train.reshape(-1, *shape), x_test.reshape(-1, *shape)

    start = time.perf_counter()
    history = auto.fit(x_train, x_train, epochs=EPOCHS if data else 1, batch_size=BATCH_SIZE, verbose=0)
    seconds = time.perf_counter() - start
    test_loss = auto.evaluate(x_test, x_test, batch_size=BATCH_SIZE, verbose=0)
    return {
        "library": library,
        "model": model,
        "seed": seed,
        "parameters": int(auto.count_params()),
        "train_losses": [float(loss) for loss in history.history["loss"]],
        "test_loss": float(test_loss),
        "fit_seconds": round(seconds, 2),
        "device": device,
        "versions": versions,
    }


def build_scratchae(model: str, seed: int) -> tuple[Any, str, dict[str, str]]:
    """Our compiled model, what it runs on, and the versions in use."""
    import importlib

    import numpy as np

    import scratchae

    scratchae.set_random_seed(seed)
    _, _, auto = importlib.import_module(f"scratchae.autoencoders.{model}").autoencoder(*MODELS[model])
    device = scratchae.backend.default_backend().name
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scratchae": scratchae.__version__}
    return auto, device, versions


def build_keras(model: str, seed: int) -> tuple[Any, str, dict[str, str]]:
    """The same for Keras."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras
    import numpy as np

    keras.utils.set_random_seed(seed)
    builders = {
        "vanilla": keras_dense,
        "sparse": lambda: keras_dense(activity_regularizer=keras.regularizers.L1(1e-5)),
        "convolutional": keras_convolutional,
        "variational": keras_variational,
    }
    auto = builders[model]()
    packages = {"numpy": np, "keras": keras, "jax": jax}
    versions = {"python": platform.python_version()} | {name: m.__version__ for name, m in packages.items()}
    return auto, f"jax {jax.default_backend()}", versions


# ---- the models in Keras --------------------------------------------------------------------------------------------
def keras_dense(hidden_layers: Sequence[int] = (128, 64), activity_regularizer: Any = None) -> Any:
    """784, the hidden layers, 32, and back to 784; with a penalty on the code it is the sparse one."""
    from keras import Model, layers

    x = h = layers.Input((784,))
    for units in hidden_layers:
        h = layers.Dense(units, activation="relu")(h)
    h = layers.Dense(32, activation="relu", activity_regularizer=activity_regularizer)(h)
    for units in reversed(hidden_layers):
        h = layers.Dense(units, activation="relu")(h)
    y = layers.Dense(784, activation="sigmoid")(h)
    auto = Model(x, y)
    auto.compile("adam", "binary_crossentropy")
    return auto


def keras_convolutional() -> Any:
    """Sides 28, 14, 7, 4 down to the code; 4, 8, 16, 14 (the valid convolution), 28 back."""
    from keras import Model, layers

    x = layers.Input((28, 28, 1))
    h = layers.Conv2D(16, (3, 3), padding="same", activation="relu")(x)
    h = layers.MaxPooling2D((2, 2), padding="same")(h)
    h = layers.Conv2D(8, (3, 3), padding="same", activation="relu")(h)
    h = layers.MaxPooling2D((2, 2), padding="same")(h)
    h = layers.Conv2D(8, (3, 3), padding="same", activation="relu")(h)
    code = layers.MaxPooling2D((2, 2), padding="same")(h)
    h = layers.Conv2D(8, (3, 3), padding="same", activation="relu")(code)
    h = layers.UpSampling2D((2, 2))(h)
    h = layers.Conv2D(8, (3, 3), padding="same", activation="relu")(h)
    h = layers.UpSampling2D((2, 2))(h)
    h = layers.Conv2D(16, (3, 3), padding="valid", activation="relu")(h)
    h = layers.UpSampling2D((2, 2))(h)
    y = layers.Conv2D(1, (3, 3), padding="same", activation="sigmoid")(h)
    auto = Model(x, y)
    auto.compile("adam", "binary_crossentropy")
    return auto


def keras_variational() -> Any:
    """784-512-2-512-784, the loss being the negative variational bound."""
    import keras
    from keras import Model, layers, ops

    class Sampling(layers.Layer):
        """Draws z, and adds the divergence of its distribution from N(0, 1) to the loss."""

        def __init__(self, **options):
            super().__init__(**options)
            self.seed_generator = keras.random.SeedGenerator()

        def call(self, inputs):
            mean, log_var = inputs
            divergence = -0.5 * ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), axis=-1)
            self.add_loss(ops.mean(divergence))
            noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
            return mean + ops.exp(0.5 * log_var) * noise

    def summed_binary_crossentropy(y_true, y_pred):
        return ops.sum(ops.binary_crossentropy(y_true, y_pred), axis=-1)

    x = layers.Input((784,))
    h = layers.Dense(512, activation="relu")(x)
    mean = layers.Dense(2)(h)
    log_var = layers.Dense(2)(h)
    z = Sampling()([mean, log_var])
    h = layers.Dense(512, activation="relu")(z)
    y = layers.Dense(784, activation="sigmoid")(h)
    auto = Model(x, y)
    auto.compile("adam", summed_binary_crossentropy)
    return auto


# ---- all runs -------------------------------------------------------------------------------------------------------
def run_child(python: str, library: str, model: str, seed: int, data: str | None) -> dict[str, Any]:
    """`run` in a process of its own."""
    command = [python, "-m", "benchmarks.keras_losses", "--run", library, model, str(seed)]
    command += ["--smoke"] if data is None else ["--data", data]
    output = subprocess.run(command, cwd=ROOT, env=child_environment(), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout.splitlines()[-1])


def has_keras(python: str) -> bool:
    """Whether an interpreter has what the Keras side needs."""
    program = "import sys, importlib.util as u; sys.exit(not (u.find_spec('keras') and u.find_spec('jax')))"
    return subprocess.run([python, "-c", program]).returncode == 0


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each model: test losses of both libraries, and by how many per cent our mean is above theirs."""
    rows = []
    for model in MODELS:
        chosen = [r for r in runs if r["model"] == model]
        losses = {library: [r["test_loss"] for r in chosen if r["library"] == library] for library in LIBRARIES}
        if len({r["parameters"] for r in chosen}) > 1:
            raise RuntimeError(f"{model}: the two libraries' models differ in their number of parameters")
        ours, theirs = losses["scratchae"], losses["keras"]
        difference = 100 * (mean(ours) / mean(theirs) - 1) if ours and theirs else None
        rows.append({"model": model, "test_losses": losses, "difference_percent": difference})
    return rows


def cell(losses: list[float]) -> str:
    """mean (min..max), to five digits."""
    return f"{mean(losses):#.5g} ({min(losses):#.5g}..{max(losses):#.5g})" if losses else "-"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| model | scratchae mean (min..max) | Keras mean (min..max) | difference |", "|---|---|---|---|"]
    for row in rows:
        losses, difference = row["test_losses"], row["difference_percent"]
        percent = "-" if difference is None else f"{difference:+.2f} %"
        lines.append(f"| {row['model']} | {cell(losses['scratchae'])} | {cell(losses['keras'])} | {percent} |")
    return "\n".join(lines) + "\n"


def write_results(folder: Path, facts: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """Both files. Called after every run, so that an interrupted benchmark leaves what it has."""
    rows = summarize(runs)
    seeds = len({r["seed"] for r in runs})
    used = "; ".join(sorted({", ".join(f"{k} {v}" for k, v in r["versions"].items()) for r in runs}, reverse=True))
    folder.mkdir(parents=True, exist_ok=True)
    content = {**facts, "summary": rows, "runs": runs}
    (folder / "keras_losses.json").write_text(json.dumps(content, indent=1) + "\n")
    text = (
        "# Test losses beside Keras\n\n"
        f"{table(rows)}\n"
        f"Seeds: {seeds}; {facts['epochs']} epochs, batches of {facts['batch_size']}, Adam with its defaults; "
        f"{facts['data']['file']}, {facts['data']['train']} images to train and {facts['data']['test']} to test. "
        f"The means must agree within {LIMIT:g} %. The variational model draws z anew when it is measured.\n\n"
        f"Processor: {facts['processor']}. Date: {facts['date']}.\n"
        f"Versions: {used}.\n"
    )
    (folder / "keras_losses.md").write_text(text)


def describe(data: str) -> dict[str, Any]:
    """Which data it was, by name, sizes and checksum rather than by a path."""
    x_train, x_test = load_images(data)
    checksum = hashlib.sha256(Path(data).read_bytes()).hexdigest()
    return {"file": Path(data).name, "sha256": checksum, "train": len(x_train), "test": len(x_test)}


def benchmark(data: str | None, seeds: int, keras_python: str, folder: Path) -> bool:
    """All runs, seed by seed; without data the smoke test. Returns whether every difference is within the limit."""
    pythons = {"scratchae": sys.executable, "keras": keras_python}
    if not has_keras(keras_python):
        if data is not None:
            raise SystemExit("keras and jax are not installed here: --keras-python names an interpreter that has them")
        print("keras and jax are not installed here, so this is scratchae alone")
        del pythons["keras"]
    facts = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": processor_name(),
        "data": describe(data) if data else None,
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
    }
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        for model in MODELS:
            for library, python in pythons.items():
                r = run_child(python, library, model, seed, data)
                runs.append(r)
                print(f"{model}, {library}, seed {seed}: {r['test_loss']:.5g} in {r['fit_seconds']:.1f} s", flush=True)
                if data is not None:
                    write_results(folder, facts, runs)
    rows = summarize(runs)
    print(table(rows), end="")
    return data is None or all(abs(row["difference_percent"]) <= LIMIT for row in rows)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Test losses of our models and of the same models in Keras 3.")
    parser.add_argument("--data", metavar="FILE.npz", help="images: x_train and x_test, uint8 (N, 28, 28)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 on (default 3)")
    parser.add_argument("--keras-python", metavar="PATH", default=sys.executable, help="interpreter that has Keras")
    parser.add_argument("--results", metavar="FOLDER", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--smoke", action="store_true", help="one seed on a few random images, nothing is written")
    parser.add_argument("--run", nargs=3, metavar=("LIBRARY", "MODEL", "SEED"), help="one run, printed as JSON")
    options = parser.parse_args()
    if options.smoke == bool(options.data):
        parser.error("give either --data FILE.npz or --smoke")
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    data = str(Path(options.data).resolve()) if options.data else None
    if options.run:
        library, model, seed = options.run
        if library not in LIBRARIES or model not in MODELS:
            parser.error(f"--run takes one of {', '.join(LIBRARIES)} and one of {', '.join(MODELS)}")
        print(json.dumps(run(library, model, int(seed), data)))
        return 0
    good = benchmark(data, 1 if options.smoke else options.seeds, options.keras_python, options.results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
