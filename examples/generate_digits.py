"""Generate digits: a variational autoencoder, and a walk through its two-dimensional latent plane.

    python examples/generate_digits.py

The codes of a variational autoencoder are held close to N(0, 1), so that a point drawn from there decodes to something
that looks like data. Two dimensions are too few for good digits, and just enough to see them all at once.
"""

import argparse

import numpy as np

import scratchae
from scratchae import plotting
from scratchae.autoencoders import variational
from scratchae.datasets import digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--out", default="plane.png")
options = parser.parse_args()

scratchae.set_random_seed(0)
(x, y), (x_test, y_test) = digits.load_data()
x, x_test = (images.reshape(-1, 784).astype("float32") / 255 for images in (x, x_test))

encoder, decoder, auto = variational.autoencoder(784, [256], 2)
print(f"minus the bound on log p(x) of unseen digits, before training: {auto.evaluate(x_test, x_test):.1f}")
auto.fit(x, x, epochs=options.epochs, verbose=0)
print(f"after training: {auto.evaluate(x_test, x_test):.1f}")

z, mean, log_var = encoder.predict(x_test)
print(f"mean of the codes {mean.mean(axis=0).round(2)}, their spread {mean.std(axis=0).round(2)}")
print(f"standard deviation that each leaves open: {np.exp(log_var / 2).mean():.2f}")
drawn = decoder.predict(np.random.default_rng(0).standard_normal((5, 2)))
print(f"five digits drawn from N(0, 1): {drawn.shape}")

plotting.latent_grid(decoder).savefig(options.out, dpi=150)
print(f"wrote {options.out}")
