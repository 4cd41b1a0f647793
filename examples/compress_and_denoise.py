"""Compress digits to 32 numbers, then teach the same network to remove noise.

    python examples/compress_and_denoise.py

A digit of 784 pixels goes through a layer of 32 units and comes back. Trained on noisy digits with the clean ones as
targets, the network learns what digits look like: noise has no place in 32 numbers.
"""

import argparse

import scratchae
from scratchae import plotting
from scratchae.autoencoders import vanilla
from scratchae.datasets import corrupt, digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--out", default="denoised.png")
options = parser.parse_args()

scratchae.set_random_seed(0)
(x, _), (x_test, _) = digits.load_data()
x, x_test = (images.reshape(-1, 784).astype("float32") / 255 for images in (x, x_test))

encoder, decoder, auto = vanilla.autoencoder(784, [128], 32)
auto.fit(x, x, epochs=options.epochs, validation_data=(x_test, x_test), verbose=0)
codes = encoder.predict(x_test)
print(f"{x_test[0].size} pixels as {codes[0].size} numbers; loss on unseen digits {auto.evaluate(x_test, x_test):.4f}")

noisy, noisy_test = (corrupt(images, "masking", 0.5, seed=i) for i, images in enumerate((x, x_test)))
print(f"shown noisy digits, it is lost: {auto.evaluate(noisy_test, x_test):.4f}")
auto.fit(noisy, x, epochs=options.epochs, verbose=0)
print(f"after training on noisy ones:   {auto.evaluate(noisy_test, x_test):.4f}")

plotting.denoising(x_test, noisy_test, auto.predict(noisy_test)).savefig(options.out, dpi=150)
print(f"wrote {options.out}")
