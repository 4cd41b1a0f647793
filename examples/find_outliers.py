"""Find what does not belong: train on one kind of digit, and look who is reconstructed badly.

    python examples/find_outliers.py

An autoencoder that has only seen zeros and ones has no words for an eight. Its reconstruction error is a score of how
unusual a sample is; no label of an outlier was needed.
"""

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score

from scratchae import plotting
from scratchae.datasets import digits
from scratchae.estimators import VanillaAutoencoder

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--out", default="outliers.png")
options = parser.parse_args()

(x, y), (x_test, y_test) = digits.load_data()
x, x_test = x.reshape(-1, 784) / 255, x_test.reshape(-1, 784) / 255

model = VanillaAutoencoder((64,), 8, epochs=options.epochs, random_state=0).fit(x[y <= 1])
scores, usual = model.score_samples(x_test), y_test <= 1
print(f"mean error of zeros and ones {-scores[usual].mean():.4f}, of other digits {-scores[~usual].mean():.4f}")
print(f"an outlier has the larger error in {roc_auc_score(usual, scores):.1%} of pairs")
found = (model.predict(x_test[~usual]) == -1).mean()
print(f"{found:.1%} of the outliers are worse than the worst tenth of what was learned")

order = np.argsort(-scores)
ends = np.concatenate([order[:5], order[-5:]])  # the five most usual, and the five least
print(f"most usual: {y_test[order[:5]]}, least usual: {y_test[order[-5:]]}")
copies = model.inverse_transform(model.transform(x_test[ends]))
plotting.reconstructions(x_test[ends], copies).savefig(options.out, dpi=150)
print(f"wrote {options.out}")
