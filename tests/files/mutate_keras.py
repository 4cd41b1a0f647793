"""Keras' files as an accident or an attacker would leave them: see mutate.py, and

    python tests/files/mutate_keras.py --inputs 100000

HDF5 has no checksum, so its structure is hit everywhere: addresses, sizes and counts become others, and huge ones. A
.keras is changed as an archive, in its description, and in its weights, with checksums that are right.
"""

import argparse
import io
import json
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
from mutate import changed_bytes, changed_values, small_model

from scratchae import ScratchaeFormatError, load_model

NUMBERS = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**63, 2**64 - 1)


def changed_numbers(content, rng):
    """The bytes with some bits turned, or integers of eight bytes in them made others."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = int(rng.integers(len(changed) - 8))
        kind = rng.integers(4)
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + 8] = NUMBERS[rng.integers(len(NUMBERS))].to_bytes(8, "little")
        elif kind == 2:
            changed[at : at + 8] = int(rng.integers(len(changed))).to_bytes(8, "little")
        else:
            other = int(rng.integers(len(changed) - 8))
            changed[at : at + 8] = changed[other : other + 8]
    return bytes(changed)


def changed_weights(content, rng):
    return changed_numbers(content, rng) if rng.random() < 0.7 else changed_bytes(content, rng)


def changed_archive(content, rng):
    """An archive that is damaged, or that holds something damaged and is itself whole."""
    if rng.random() < 0.4:
        return changed_weights(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if rng.random() < 0.7:
        members["config.json"] = json.dumps(changed_values(json.loads(members["config.json"]), rng)).encode()
    else:
        members["model.weights.h5"] = changed_weights(members["model.weights.h5"], rng)
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return changed.getvalue()


def run(inputs, kind, folder, seed=0):
    """How many of the inputs were refused, and the longest time that one took. kind: "keras" or "weights.h5"."""
    model, path, rng = small_model(), folder / f"m.{kind}", np.random.default_rng(seed)
    if kind == "keras":
        model.save(path)
        load, change = load_model, changed_archive
    else:
        model.save_weights(path)
        load, change = model.load_weights, changed_weights
    content, refused, longest = path.read_bytes(), 0, 0.0
    for _ in range(inputs):
        path.write_bytes(change(content, rng))
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the file has the state of another optimizer")
                load(path)
        except (ScratchaeFormatError, OSError):
            refused += 1
        longest = max(longest, time.perf_counter() - start)
    return refused, longest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--kind", choices=["keras", "weights.h5"], default="keras")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        refused, longest = run(options.inputs, options.kind, Path(folder), options.seed)
    print(
        f"{options.inputs} .{options.kind}: {refused} refused, the others read; none took longer than {longest:.3f} s"
    )
