"""Kill a process while it saves, again and again: the file is then the old one or the new one.

    python -m tests.files.kill_saves --kills 1000

Each child saves two models in turn over one file until it is killed, at a random moment.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import scratchae
from scratchae.autoencoders import vanilla


def save_forever(models, path):
    while True:
        for model in models:
            model.save(path)


def kill_a_save(models, path):
    """Let a child save for a moment, and kill it."""
    child = os.fork()
    if child == 0:
        save_forever(models, path)
    time.sleep(random.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    kills = parser.parse_args().kills
    scratchae.set_device("reference")
    models = [vanilla.autoencoder(64, [100], 32)[2], vanilla.autoencoder(64, [90], 30)[2]]
    changed, unfinished, before = 0, 0, None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        models[0].save(path)
        whole = {path.read_bytes()}
        models[1].save(path)
        whole.add(path.read_bytes())
        for _ in range(kills):
            kill_a_save(models, path)
            content = path.read_bytes()
            if content not in whole:
                sys.exit("a killed save left a file that is neither the old one nor the new one")
            scratchae.load_model(path)
            changed += content != before
            before = content
            leftovers = [file for file in Path(folder).iterdir() if file != path]  # of the child that was killed
            unfinished += len(leftovers)
            for leftover in leftovers:
                shutil.rmtree(leftover)
    print(f"{kills} kills, 0 corrupt files; {unfinished} amid writing, {changed} changes of the file between kills")


if __name__ == "__main__":
    main()
