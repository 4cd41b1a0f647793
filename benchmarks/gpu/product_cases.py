"""The matrix products of the models' training steps, as products.py measures them: each layer's shapes, our op, and the
same for cublasLt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from scratchae.backend import REFERENCE
from scratchae.kernels.cuda.lstm import weight_gradients

from ..peers.models import LATENT, TIMESTEPS, UNITS
from .accuracy import in_float64
from .cublaslt import Epilogue
from .device import Device, Run


class Layer(NamedTuple):
    """y = activation(x w + b), x (N T, I), w (I, O): a dense layer, or the part of another that is one."""

    I: int
    O: int
    activation: str  # "bce": a sigmoid, and the loss and its gradient with it
    behind_relu: bool = False  # x is relu's, so that its derivative may be made part of dx
    T: int = 1  # rows of a sample
    gradients: tuple[str, ...] = ("dx", "dw", "dx and dw")

    def __str__(self) -> str:
        return f"{self.I} to {self.O}, {self.activation}" + (f", {self.T} steps" if self.T > 1 else "")


class Steps(NamedTuple):
    """The gradients of an LSTM's weights: dwx = x^T dz and dwh = h_before^T dz, x (N, T, I), h (N, T, U)."""

    I: int  # 0: x is the same at all steps, and its weights are a Layer's
    U: int
    T: int

    def __str__(self) -> str:
        return f"LSTM, {self.I} to {self.U}, {self.T} steps" if self.I else f"LSTM, {self.U} units, {self.T} steps"


FIRST = ("dw",)  # nobody asks for the gradient of the data


def layers(model: str) -> list[Layer | Steps]:
    """Of a model, in order; the convolutional one has none."""
    if model in UNITS:
        pairs = list(pairwise(UNITS[model]))
        first, *between, last = (Layer(I, O, "relu", True) for I, O in pairs)
        return [first._replace(behind_relu=False, gradients=FIRST), *between, last._replace(activation="bce")]
    if model == "variational":
        two = Layer(512, 2, "linear", True)  # the mean, and the logarithm of the variance
        first, last = Layer(784, 512, "relu", gradients=FIRST), Layer(512, 784, "bce", True)
        return [first, two, two, Layer(2, 512, "relu"), last]
    if model == "recurrent":
        D, U, T = 28, LATENT, TIMESTEPS
        encoder = Layer(D, 4 * U, "linear", T=T, gradients=()), Steps(D, U, T)
        return [*encoder, Layer(U, 4 * D, "linear"), Steps(0, D, T)]
    return []


def by_layer(models: Sequence[str]) -> dict[Layer | Steps, list[str]]:
    """Each layer once, and the models that have it."""
    found: dict[Layer | Steps, list[str]] = {}
    for model in models:
        for layer in layers(model):
            found.setdefault(layer, []).append(model)
    return {layer: list(dict.fromkeys(having)) for layer, having in found.items()}


Lacking = tuple[Epilogue, str]  # an epilogue, and what it leaves to be done
FORWARD: dict[str, tuple[Lacking, ...]] = {
    "relu": (
        (Epilogue.RELU_AUX_BIAS, ""),  # with the bits for DRELU
        (Epilogue.RELU_BIAS, ""),
        (Epilogue.BIAS, "relu"),
        (Epilogue.DEFAULT, "bias, relu"),
    ),
    "bce": ((Epilogue.BIAS, "sigmoid, loss"), (Epilogue.DEFAULT, "bias, sigmoid, loss")),
    "linear": ((Epilogue.BIAS, ""), (Epilogue.DEFAULT, "bias")),
}
BEHIND_RELU: tuple[Lacking, ...] = ((Epilogue.DRELU, ""), (Epilogue.DEFAULT, "relu's derivative"))
WITH_DB: tuple[Lacking, ...] = ((Epilogue.BGRADA, ""), (Epilogue.DEFAULT, "db"))
ALONE: tuple[Lacking, ...] = ((Epilogue.DEFAULT, ""),)
WITH_BIAS = Epilogue.BIAS, Epilogue.RELU_BIAS, Epilogue.RELU_AUX_BIAS
WITH_BITS = Epilogue.RELU_AUX, Epilogue.RELU_AUX_BIAS, Epilogue.DRELU
Written = list[tuple[Any, np.ndarray]]  # arrays of the device, and what has to be there


@dataclass
class Part:
    """A product for cublasLt: row-major out (M, N) = a b, see Matmul."""

    a: np.ndarray
    b: np.ndarray
    transposed: tuple[bool, bool]
    epilogues: tuple[Lacking, ...]  # the one that does most first
    bias: np.ndarray | None = None
    relu: np.ndarray | None = None  # (M, N): DRELU's bits say where it is positive

    @property
    def sizes(self) -> tuple[int, int, int]:
        """M, N, K."""
        (M, K), (_, N) = (factor.shape for factor in self.factors)
        return M, N, K

    @property
    def factors(self) -> list[np.ndarray]:
        """What is multiplied."""
        return [x.T if turned else x for x, turned in zip((self.a, self.b), self.transposed, strict=True)]

    @cached_property
    def product(self) -> np.ndarray:
        """In float64."""
        a, b = map(in_float64, self.factors)
        return a @ b

    def expected(self, epilogue: Epilogue) -> list[np.ndarray]:
        """In float64: the result, and the gradient of a bias."""
        out = self.product
        if epilogue in WITH_BIAS:
            out = out + self.bias
        if epilogue in (Epilogue.RELU_BIAS, Epilogue.RELU_AUX_BIAS):
            out = np.maximum(out, 0)
        if epilogue == Epilogue.DRELU:
            assert self.relu is not None
            out = out * (self.relu > 0)
        if epilogue == Epilogue.BGRADA:
            return [out, self.b.sum(axis=0, dtype=np.float64)]
        return [out]


@dataclass
class Case:
    """Products that a step needs at one place: ours, in one call, and theirs."""

    product: str
    ours: Run
    written: Written
    theirs: list[Part]

    @property
    def flops(self) -> int:
        return sum(2 * M * N * K for M, N, K in (part.sizes for part in self.theirs))

    @property
    def bytes(self) -> int:
        """Of the matrices, each once."""
        return sum(4 * (M * K + K * N + M * N) for M, N, K in (part.sizes for part in self.theirs))


def cases(device: Device, layer: Layer | Steps, batch: int) -> Iterator[Case]:
    return of_steps(device, layer, batch) if isinstance(layer, Steps) else of_layer(device, layer, batch)


def of_layer(device: Device, layer: Layer, batch: int) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    N, I, O = batch * layer.T, layer.I, layer.O
    x = rng.standard_normal((N, I), np.float32)
    w, b = (rng.standard_normal(shape, np.float32) / np.float32(I**0.5) for shape in ((I, O), (O,)))
    if layer.behind_relu:
        x = np.maximum(x, 0)
    if layer.activation == "bce":
        t, weight = rng.random((N, O), np.float32), np.ones(N, np.float32)
        total = np.zeros(1, np.float32)
        ours = on_device(device, "dense_binary_crossentropy", total, empty(N), empty(N, O), x, w, b, t, weight, 1 / N)
    else:
        ours = on_device(device, "dense_forward", empty(N, O), x, w, b, layer.activation)
    yield Case("forward", *ours, [Part(x, w, (False, False), FORWARD[layer.activation], bias=b)])

    if not layer.gradients:
        return
    # The loss has made dz of the last layer; of the others dy is made dz on the way.
    y, dy = (rng.standard_normal((N, O), np.float32) for _ in range(2))
    through = (np.maximum(y, 0), x, w, "relu") if layer.activation == "relu" else (None, x, w, "linear")
    dz = dy * (y > 0) if layer.activation == "relu" else dy
    of_dx = Part(dz, w, (False, True), ALONE)
    if layer.behind_relu:
        of_dx = Part(dz, w, (False, True), BEHIND_RELU, relu=x)
    of_dw = Part(x, dz, (True, False), WITH_DB)
    written = {"dx": (empty(N, I), None, None), "dw": (None, empty(I, O), empty(O))}
    written["dx and dw"] = written["dx"][:1] + written["dw"][1:]
    for product, parts in (("dx", [of_dx]), ("dw", [of_dw]), ("dx and dw", [of_dx, of_dw])):
        if product in layer.gradients:
            yield Case(product, *on_device(device, "dense_backward", *written[product], dy, *through, False), parts)


def of_steps(device: Device, layer: Steps, batch: int) -> Iterator[Case]:
    """cublasLt finds h of each step before as a matrix; in a training step somebody would have to make it."""
    rng = np.random.default_rng(0)
    N, T, I, U = batch, layer.T, layer.I, layer.U
    x, h, dz = (rng.standard_normal((N, T, features), np.float32) for features in (I, U, 4 * U))
    before = np.zeros_like(h)
    before[:, 1:] = h[:, :-1]
    rows = dz.reshape(N * T, 4 * U)
    of_dwx = Part(x.reshape(N * T, I), rows, (True, False), WITH_DB)
    of_dwh = Part(before.reshape(N * T, U), rows, (True, False), ALONE)
    array = device.backend.array
    dwx, db, dwh = (array(empty(*shape)) for shape in ((I, 4 * U), (4 * U,), (U, 4 * U)))
    written = [(dwh, of_dwh.product)]
    if I:
        ours = partial(weight_gradients, dwx, dwh, db, array(dz), array(x), array(h), False)
        written += zip((dwx, db), of_dwx.expected(Epilogue.BGRADA), strict=True)
        yield Case("dwx and dwh", ours, written, [of_dwx, of_dwh])
    else:
        ours = partial(weight_gradients, None, dwh, None, array(dz), None, array(h), False)
        yield Case("dwh", ours, written, [of_dwh])


def empty(*shape: int) -> np.ndarray:
    """NaN: what is to be written."""
    return np.full(shape, np.nan, np.float32)


def on_device(device: Device, op: str, *arguments: Any) -> tuple[Run, Written]:
    """An op on arrays of the device; those that were `empty`, and what `reference` writes there in float64."""
    expected = [in_float64(argument) for argument in arguments]
    getattr(REFERENCE.ops, op)(*expected)
    arrays = [device.backend.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    triples = zip(arguments, arrays, expected, strict=True)
    written = [(array, wanted) for a, array, wanted in triples if isinstance(a, np.ndarray) and np.isnan(a).all()]
    return partial(getattr(device.backend.ops, op), *arrays), written
