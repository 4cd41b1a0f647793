"""JAX: a whole training step in one jit, its state donated. Adam is written out, with Keras' place for epsilon.

Batches are JAX arrays before the clock starts. On a GPU steps are not waited for one by one, and several of them run in
one call as well: a lax.scan over the batches.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .models import BETA_1, BETA_2, EPSILON, L1, LEARNING_RATE, TIMESTEPS, UNITS, initial_weights
from .serve import Contestant, Variants, Work, serve


def dense(p, x):
    """relu between the layers of p, a flat list of weights and biases; none after the last."""
    for i in range(0, len(p), 2):
        x = (jax.nn.relu(x) if i else x) @ p[i] + p[i + 1]
    return x


def conv(x, w, b, padding="SAME"):
    return lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + b


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")


def up_sample(x):
    N, H, W, C = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (N, H, 2, W, 2, C)).reshape(N, 2 * H, 2 * W, C)


def convolutional(p, x):
    """Sides 28, 14, 7, 4, and 4, 8, 16, 14 (no padding), 28 back."""
    for i in range(0, 6, 2):
        x = max_pool(jax.nn.relu(conv(x, p[i], p[i + 1])))
    for i in range(6, 12, 2):
        x = up_sample(jax.nn.relu(conv(x, p[i], p[i + 1], "VALID" if i == 10 else "SAME")))
    return conv(x, p[12], p[13])


def lstm(x, wx, wh, b):
    """Every state, (T, N, U), for x (T, N, D)."""

    def step(state, z):
        h, c = state
        i, f, g, o = jnp.split(z + h @ wh, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((x.shape[1], wh.shape[0]), x.dtype)
    _, h = lax.scan(step, (zero, zero), x @ wx + b)
    return h


def cross_entropy(logits, x):
    return jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def loss_of(model, p, x, noise):
    """The loss that the model is trained for; noise (N, 2) is z's, where there is a z."""
    if model == "recurrent":
        x = jnp.swapaxes(x, 0, 1)  # (T, N, D)
        code = lstm(x, *p[:3])[-1]
        y = lstm(jnp.broadcast_to(code, (TIMESTEPS, *code.shape)), *p[3:])
        return jnp.mean((y - x) ** 2)
    if model == "variational":
        h = jax.nn.relu(dense(p[:2], x))
        mean, log_var = dense(p[2:4], h), dense(p[4:6], h)
        logits = dense(p[6:], mean + jnp.exp(0.5 * log_var) * noise)
        divergence = -0.5 * jnp.sum(1 + log_var - mean**2 - jnp.exp(log_var))
        return (jnp.sum(cross_entropy(logits, x)) + divergence) / len(x)
    if model == "convolutional":
        return jnp.mean(cross_entropy(convolutional(p, x), x))
    encoder = 2 * (len(UNITS[model]) // 2)
    code = jax.nn.relu(dense(p[:encoder], x))
    penalty = L1 * jnp.sum(code) / len(x) if model == "sparse" else 0.0  # after relu, |code| is code
    return jnp.mean(cross_entropy(dense(p[encoder:], code), x)) + penalty


def advance(model, state, x):
    """(parameters, m, v, t, key) after Adam's step on x, and the loss before it."""
    p, m, v, t, key = state
    key, drawn = jax.random.split(key)
    loss, g = jax.value_and_grad(partial(loss_of, model))(p, x, jax.random.normal(drawn, (len(x), 2)))
    t = t + 1
    rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    m = [BETA_1 * m + (1 - BETA_1) * g for m, g in zip(m, g, strict=True)]
    v = [BETA_2 * v + (1 - BETA_2) * g * g for v, g in zip(v, g, strict=True)]
    p = [p - rate * m / (jnp.sqrt(v) + EPSILON) for p, m, v in zip(p, m, v, strict=True)]
    return (p, m, v, t, key), loss


train_step = jax.jit(advance, static_argnums=0, donate_argnums=1)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def train_steps(model, state, xs):
    """A step for each of xs (batches, N, ...), and their losses."""
    return lax.scan(partial(advance, model), state, xs)


class Trainer:
    def __init__(self, model: str, waits: bool = True):
        self.model, self.waits = model, waits
        p = [jnp.asarray(w) for w in initial_weights(model)]
        m, v = ([jnp.zeros_like(w) for w in p] for _ in range(2))
        self.state: Any = (p, m, v, jnp.float32(0), jax.random.key(0))

    def step(self, x: jax.Array) -> None:
        self.state, loss = train_step(self.model, self.state, x)
        if self.waits:
            loss.block_until_ready()

    def steps(self, xs: jax.Array) -> None:
        self.state, _ = train_steps(self.model, self.state, xs)

    def loss(self, x: jax.Array, noise: np.ndarray) -> float:
        return float(loss_of(self.model, self.state[0], x, jnp.asarray(noise)))


class Jax(Contestant):
    def __init__(self, device: str = "cpu", precision: str = "float32"):
        self.on_gpu = device == "cuda"
        self.trainers: list[Trainer] = []  # who may still be at work
        if self.on_gpu:  # XLA's own choice would be TF32
            jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "tf32" else "highest")

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "python": platform.python_version()}

    def settings(self) -> dict[str, str]:
        if not self.on_gpu:
            return {}
        (device,) = jax.devices("gpu")[:1]
        precision = {"highest": "float32", "tensorfloat32": "tf32"}[jax.config.jax_default_matmul_precision]
        return {"device": device.device_kind, "precision": precision}

    def seconds(self, run: Callable[[], object]) -> float:
        def run_and_wait() -> None:
            run()
            jax.block_until_ready([trainer.state for trainer in self.trainers])

        return super().seconds(run_and_wait)

    def training(self, model: str, batches: list[np.ndarray]) -> Variants:
        xs = [jnp.asarray(x) for x in batches]
        if not self.on_gpu:
            return {"": Work(Trainer(model).step, xs)}
        one, several = self.trainers = [Trainer(model, waits=False) for _ in range(2)]
        return {"step": Work(one.step, xs), "scan": Work(several.steps, [jnp.stack(xs)], steps=len(xs))}

    def check(self, model: str, x: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, Any]:
        trainer, images = Trainer(model), jnp.asarray(x)
        loss = trainer.loss(images, noise)
        for _ in range(steps):
            trainer.step(images)
        parameters = sum(w.size for w in trainer.state[0])
        return {"parameters": parameters, "loss": loss, "later_loss": trainer.loss(images, noise)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    serve(Jax(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
