"""Kill training at random moments until it comes to its end, and compare: `python -m tests.kill_training`.

Each attempt is a process of its own, forked from one that has imported everything and computed nothing, and ended by
SIGKILL: between steps, in the middle of one, of validation, or of a save.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import scratchae
from scratchae.autoencoders import variational
from scratchae.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from scratchae.optimizers import Adam


def program(folder: Path, device: str, save_freq: str | int) -> None:
    """What is killed. It leaves a digest of all that it ends with in the file `result`."""
    scratchae.set_device(device)
    scratchae.set_random_seed(5)
    x = np.random.default_rng(0).random((301, 40), dtype=np.float32)
    _, _, auto = variational.autoencoder(40, [300], 4)
    auto.compile(Adam(0.01, use_ema=True, gradient_accumulation_steps=2), auto.loss)
    watching = [
        BackupAndRestore(folder / "backup", save_freq),
        CSVLogger(folder / "log.csv"),
        ModelCheckpoint(folder / "best.safetensors", save_best_only=True),
        EarlyStopping(patience=5, restore_best_weights=True),
        ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=0.05),
    ]
    history = auto.fit(
        x, x, epochs=12, batch_size=32, validation_data=(x[:50], x[:50]), verbose=0, callbacks=watching
    ).history
    digest = hashlib.sha256(repr(history).encode())
    for array in (*auto.get_weights(), auto.predict(x), *auto.optimizer.get_state().values()):
        digest.update(np.ascontiguousarray(array))
    for name in ("log.csv", "best.safetensors"):
        digest.update((folder / name).read_bytes())
    (folder / "result").write_text(digest.hexdigest())


def attempt(folder: Path, device: str, save_freq: str | int, seconds: float | None) -> bool:
    """Run the program in a process of its own, killed after so many seconds; whether it came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            program(folder, device, save_freq)
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("an attempt ended with an error")
    return os.WIFEXITED(status)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="so many (200)")
    parser.add_argument("--device", default="reference", metavar="NAME", help="reference or cpu (reference)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (0)")
    options = parser.parse_args()
    moments = np.random.default_rng(options.seed)
    kills = runs = different = 0
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name, "whole")
        whole.mkdir()
        start = time.perf_counter()
        attempt(whole, options.device, "epoch", None)
        length = time.perf_counter() - start
        print(f"{options.device}: never killed, it takes {length:.2f} s")
        while kills < options.kills:
            save_freq = ("epoch", 1, 7)[runs % 3]
            folder = Path(name, str(runs))
            folder.mkdir()
            # No attempt is sure to get further than the one before: those that come later are given more time.
            limit, finished = 0.5 * length, False
            while not finished:
                seconds = moments.uniform(0, limit) if kills < options.kills else None
                finished = attempt(folder, options.device, save_freq, seconds)
                kills, limit = kills + (not finished), 1.1 * limit
            runs += 1
            if (folder / "result").read_text() != (whole / "result").read_text():
                different += 1
                print(f"run {runs}, a backup every {save_freq}: other bits")
            if (folder / "backup").exists():
                different += 1
                print(f"run {runs}: the backup is still there")
            shutil.rmtree(folder)
    print(f"{options.device}: {kills} kills in {runs} runs, {different} with other bits than the run never killed")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
