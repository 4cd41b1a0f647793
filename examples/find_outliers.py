"""Find what does not belong: train on one kind of digit, and look who is reconstructed badly.

    python examples/find_outliers.py

An autoencoder that has only seen zeros and ones has no words for an eight. Its reconstruction error is a score of how
unusual a sample is; no label of an outlier was needed.
"""

import argparse

import numpy as np

import scratchae
from scratchae import plotting
from scratchae.autoencoders import vanilla
from scratchae.datasets import digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--out", default="outliers.png")
options = parser.parse_args()

scratchae.set_random_seed(0)
(x, y), (x_test, y_test) = digits.load_data()
x, x_test = (images.reshape(-1, 784).astype("float32") / 255 for images in (x, x_test))
usual = y <= 1

encoder, decoder, auto = vanilla.autoencoder(784, [64], 8)
auto.fit(x[usual], x[usual], epochs=options.epochs, verbose=0)

copies = auto.predict(x_test)
error = ((copies - x_test) ** 2).mean(axis=1)
is_outlier = y_test > 1
inside, outside = error[~is_outlier], error[is_outlier]
# The share of pairs (outlier, usual one) in which the outlier has the larger error: the area under the ROC curve.
area = np.mean(outside[:, None] > inside[None, :])
print(f"mean error of zeros and ones {inside.mean():.4f}, of other digits {outside.mean():.4f}")
print(f"an outlier has the larger error in {area:.1%} of pairs")

order = np.argsort(error)
ends = np.concatenate([order[:5], order[-5:]])  # the five most usual, and the five least
print(f"most usual: {y_test[order[:5]]}, least usual: {y_test[order[-5:]]}")
plotting.reconstructions(x_test[ends], copies[ends]).savefig(options.out, dpi=150)
print(f"wrote {options.out}")
