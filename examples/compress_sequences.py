"""Compress sequences: an LSTM reads 16 steps into 8 numbers, another writes them out again.

    python examples/compress_sequences.py

The sequences are sines of random amplitude, frequency and phase, in two copies, one late. Three numbers describe each,
so a code of eight has room; nothing tells the network that they are sines.
"""

import argparse

import numpy as np

import scratchae
from scratchae import plotting
from scratchae.autoencoders import recurrent
from scratchae.datasets.sequences import sines
from scratchae.optimizers import Adam

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--out", default="sequences.png")
options = parser.parse_args()

scratchae.set_random_seed(0)
x, parameters = sines(1200, 16, 2, components=1, seed=0)
x, x_test = x[:1000], x[1000:]

encoder, decoder, auto = recurrent.autoencoder(16, 2, 8)
auto.compile(Adam(0.01), "mse")
auto.fit(x, x, epochs=options.epochs, batch_size=50, validation_data=(x_test, x_test), verbose=0)

copies = auto.predict(x_test)
print(f"{x_test[0].size} numbers as {encoder.output_shape[1]}")
print(f"mean squared error {np.mean((copies - x_test) ** 2):.4f}")
print(f"of the mean sequence {np.var(x_test, axis=0).mean():.4f}")

plotting.sequences(x_test, copies).savefig(options.out, dpi=150)
print(f"wrote {options.out}")
