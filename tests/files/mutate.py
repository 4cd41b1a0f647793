"""Files as an accident or an attacker would leave them.

    python -m tests.files.mutate --inputs 100000

Half of the inputs are a file with bytes changed, cut out, doubled or moved: the checksum stops them. The other half
have their values changed, a number for a list, a name for another, and a checksum that is right: what reads them has to
stop them. Only ScratchaeFormatError and OSError may come of it.
"""

import argparse
import copy
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import scratchae
from scratchae import Input, Model, ScratchaeFormatError, layers

ODD = [
    *(None, True, False, 0, -1, 1, 2, 3, 10**6, 10**12, 2**63, 10**30, 0.5, -1e300),
    *("", "Dense", "Functional", "Lambda", "keras.layers", "__keras_tensor__", "a" * 1000, "\ud800"),
    *([], [None], [[]], {}, {"class_name": "Dense"}),
]


def small_model():
    """A trained autoencoder of nested models, with something of everything in its file."""
    scratchae.set_device("reference")
    scratchae.set_random_seed(0)
    x = Input((3,))
    encoder = Model(x, layers.Dense(2, "relu", kernel_regularizer="l2", activity_regularizer="l1")(x), name="encoder")
    z = Input((2,))
    decoder = Model(z, layers.Dropout(0.1)(layers.Dense(3)(z)), name="decoder")
    x = Input((3,))
    auto = Model(x, decoder(encoder(x)))
    auto.compile("adam", "mse", ["mae"])
    data = np.random.default_rng(0).random((4, 3))
    auto.fit(data, data, epochs=1, verbose=0)
    return auto


def changed_bytes(content, rng):
    """The bytes of a file after an accident."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at, n = int(rng.integers(len(content) + 1)), int(rng.integers(1, 50))
        kind = rng.integers(5)
        if kind == 0 and at < len(content):
            content[at] = rng.integers(256)
        elif kind == 1:
            del content[at : at + n]
        elif kind == 2:
            content[at:at] = rng.bytes(n)
        elif kind == 3:
            content[at:at] = content[at : at + n]
        else:
            del content[at:]
        content = content or bytearray(b"\0")
    return bytes(content)


def places(value, path=()):
    """The way to every value in a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield from places(entry, (*path, key))


def changed_values(value, rng):
    """A JSON value with one to three of the values in it changed, removed, doubled or exchanged for one another."""
    value = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        ways = [path for path in places(value) if path]
        *way, key = ways[rng.integers(len(ways))]
        inside = value
        for step in way:
            inside = inside[step]
        kind = rng.integers(4)
        if kind == 0:
            del inside[key]
        elif kind == 1:
            inside[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        elif kind == 2 and isinstance(inside, list):
            inside.insert(key, copy.deepcopy(inside[key]))
        else:
            other = value
            for step in ways[rng.integers(len(ways))]:
                other = other[step]
            inside[key] = copy.deepcopy(other)
    return value


def changed_description(content, rng):
    """A file with other values in its header, of the arrays or of ours, and a checksum that is right."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    told = json.loads(header["__metadata__"]["scratchae"])
    if rng.random() < 0.2:
        arrays = changed_values({name: entry for name, entry in header.items() if name != "__metadata__"}, rng)
        header = {"__metadata__": header["__metadata__"], **arrays}
    else:
        told = {**changed_values({key: entry for key, entry in told.items() if key != "sha256"}, rng)}
    told["sha256"] = "0" * 64
    header["__metadata__"] = {"scratchae": json.dumps(told)}
    head = json.dumps(header).encode()
    changed = len(head).to_bytes(8, "little") + head + content[8 + length :]
    return changed.replace(b"0" * 64, hashlib.sha256(changed).hexdigest().encode(), 1)


def refused(path, content):
    """Whether a file is refused as it should be; any other exception is a fault of the library, and raised."""
    path.write_bytes(content)
    try:
        scratchae.load_model(path)
    except (ScratchaeFormatError, OSError):
        return True
    return False


def run(inputs, path, seed=0, slowest=None):
    """How many of the inputs were refused, and the longest time that one took."""
    small_model().save(path)
    content, rng = path.read_bytes(), np.random.default_rng(seed)
    count, longest = 0, 0.0
    for i in range(inputs):
        change = changed_bytes if i % 2 else changed_description
        mutated = change(content, rng)
        start = time.perf_counter()
        count += refused(path, mutated)
        longest = max(longest, time.perf_counter() - start)
    return count, longest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count, longest = run(options.inputs, Path(folder, "m.safetensors"), options.seed)
    print(f"{options.inputs} inputs: {count} refused, the others read; none took longer than {longest:.3f} s")
    sys.exit(0)
