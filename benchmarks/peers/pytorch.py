"""PyTorch: eager with the fused Adam, or with --compile the loss through torch.compile.

Batches are tensors before the clock starts. Images have one channel, so that NHWC is NCHW after a reshape. On a GPU,
--way also takes torch.compile's modes "reduce-overhead" and "max-autotune", which capture forward and backward in
graphs, and "graph": the whole step captured by hand, with a copy of each batch to where the graph reads it.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .models import BETA_1, BETA_2, CHANNELS, EPSILON, L1, LATENT, LEARNING_RATE, TIMESTEPS, UNITS, initial_weights
from .serve import Contestant, Variants, Work, serve

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
WAYS = "eager", "compile", "reduce-overhead", "max-autotune", "graph"
CPU = torch.device("cpu")


class Autoencoder(nn.Module):
    """Encoder and decoder; the output is logits but for the recurrent one."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.decoder(self.encoder(x))


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 512)
        self.mean = nn.Linear(512, 2)
        self.log_var = nn.Linear(512, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, 784))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = functional.relu(self.hidden(x))
        return self.mean(h), self.log_var(h)

    def decode(self, mean: Tensor, log_var: Tensor, noise: Tensor | None) -> Tensor:
        noise = torch.randn_like(mean) if noise is None else noise
        return self.decoder(mean + torch.exp(0.5 * log_var) * noise)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.decode(*self.encode(x), noise)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(28, LATENT, batch_first=True)
        self.decoder = nn.LSTM(LATENT, 28, batch_first=True)
        for lstm in (self.encoder, self.decoder):  # PyTorch has two biases where Keras has one: this one stays zero
            nn.init.zeros_(lstm.bias_hh_l0).requires_grad_(False)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        _, (h, _) = self.encoder(x)
        y, _ = self.decoder(h[0].unsqueeze(1).expand(-1, TIMESTEPS, -1))
        return y


def dense(units: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(len(units) - 1):
        layers += [nn.Linear(units[i], units[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers)


def convolutional() -> Autoencoder:
    """Sides 28, 14, 7, 4, and 4, 8, 16, 14 (no padding), 28 back."""
    layers: list[nn.Module] = []
    for i in range(7):
        layers.append(nn.Conv2d(CHANNELS[i], CHANNELS[i + 1], 3, padding=0 if i == 5 else 1))
        if i < 6:
            layers += [nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True) if i < 3 else nn.Upsample(scale_factor=2)]
    return Autoencoder(nn.Sequential(*layers[:9]), nn.Sequential(*layers[9:]))


def build(model: str) -> nn.Module:
    """The model with the initial weights."""
    torch.manual_seed(0)
    net: nn.Module
    if model in UNITS:
        units = UNITS[model]
        middle = len(units) // 2
        net = Autoencoder(dense(units[: middle + 1]), dense(units[middle:])[:-1])
    elif model == "convolutional":
        net = convolutional()
    else:
        net = Variational() if model == "variational" else Recurrent()
    with torch.no_grad():
        for p, w in zip(trained(net), initial_weights(model), strict=True):
            p.copy_(torch.from_numpy(w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T))
    return net


def trained(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.requires_grad]


def loss_of(model: str, net: Any, x: Tensor, noise: Tensor | None = None) -> Tensor:
    """The loss that the model is trained for, a scalar."""
    if model == "recurrent":
        return functional.mse_loss(net(x), x)
    if model == "sparse":
        code = net.encoder(x)
        return functional.binary_cross_entropy_with_logits(net.decoder(code), x) + L1 * code.abs().sum() / len(x)
    if model == "variational":
        mean, log_var = net.encode(x)
        error = functional.binary_cross_entropy_with_logits(net.decode(mean, log_var, noise), x, reduction="sum")
        divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()
        return (error + divergence) / len(x)
    return functional.binary_cross_entropy_with_logits(net(x), x)


def reconstruct(model: str, net: nn.Module, x: Tensor, noise: Tensor | None = None) -> Tensor:
    with torch.inference_mode():
        y = net(x, noise)
        return y if model == "recurrent" else torch.sigmoid(y)


def tensors(model: str, batches: list[np.ndarray], device: torch.device = CPU) -> list[Tensor]:
    found = [torch.from_numpy(x).to(device) for x in batches]
    return [x.reshape(-1, 1, 28, 28) for x in found] if model == "convolutional" else found


def layouts(
    model: str, batches: list[np.ndarray], device: torch.device = CPU
) -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    """The model and its data, for images in either layout."""
    xs = tensors(model, batches, device)
    if model != "convolutional":
        yield "", build(model).to(device), xs
        return
    for name, layout in LAYOUTS.items():
        net: Any = build(model).to(device)
        yield name, net.to(memory_format=layout), [x.to(memory_format=layout) for x in xs]


class PyTorch(Contestant):
    def __init__(self, way: str = "eager", device: str = "cpu", precision: str = "float32"):
        self.way, self.device = way, torch.device(device)
        if self.device != CPU:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
            torch.backends.cudnn.benchmark = True  # sizes stay the same, so a search for the fastest pays

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "python": platform.python_version()}

    def settings(self) -> dict[str, str]:
        if self.device == CPU:
            return {}
        allowed = {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}
        precision = {(False,): "float32", (True,): "tf32"}.get(tuple(allowed), "mixed")
        return {"device": torch.cuda.get_device_name(self.device), "precision": precision}

    def seconds(self, run: Callable[[], object]) -> float:
        if self.device == CPU:
            return super().seconds(run)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        torch.cuda.synchronize()  # as all contestants are timed
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000

    def training(self, model: str, batches: list[np.ndarray]) -> Variants:
        torch.compiler.reset()  # it would generalise what the last batch size made
        return {layout: self._steps(model, net, xs) for layout, net, xs in layouts(model, batches, self.device)}

    def _steps(self, model: str, net: nn.Module, xs: list[Tensor]) -> Work:
        loss_function, captured = loss_of, self.way == "graph"
        if self.way == "compile":
            loss_function = torch.compile(loss_of, dynamic=False)
        elif self.way in ("reduce-overhead", "max-autotune"):
            loss_function = torch.compile(loss_of, dynamic=False, mode=self.way)
        betas = (BETA_1, BETA_2)
        adam = torch.optim.Adam(trained(net), LEARNING_RATE, betas, EPSILON, fused=True, capturable=captured)

        def step(x: Tensor) -> None:
            adam.zero_grad()
            loss_function(model, net, x).backward()
            adam.step()

        if captured:
            return Work(capture(net, adam, step, xs[0]), xs)
        if self.way in ("reduce-overhead", "max-autotune"):
            return Work(marked(step), xs)
        return Work(step, xs)

    def inference(self, model: str, batches: list[np.ndarray]) -> Variants:
        found = layouts(model, batches, self.device)
        return {layout: Work(partial(reconstruct, model, net), xs) for layout, net, xs in found}

    def check(self, model: str, x: np.ndarray, noise: np.ndarray, steps: int) -> dict[str, Any]:
        net, z_noise = build(model).to(self.device), torch.from_numpy(noise).to(self.device)
        (images,) = tensors(model, [x], self.device)
        loss, output = loss_of(model, net, images, z_noise).item(), reconstruct(model, net, images, z_noise)
        told = {
            "parameters": sum(p.numel() for p in trained(net)),
            "loss": loss,
            "output": output.reshape(x.shape).cpu(),
        }
        if steps:
            work = self._steps(model, net, [images])
            for _ in range(steps):
                work.run(images)
            told["later_loss"] = loss_of(model, net, images, z_noise).item()
        return told


def marked(step: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """The step for graphs that torch.compile captures: what the last one has left may be overwritten."""

    def run(x: Tensor) -> None:
        torch.compiler.cudagraph_mark_step_begin()
        step(x)

    return run


def capture(
    net: nn.Module, adam: torch.optim.Adam, step: Callable[[Tensor], None], batch: Tensor
) -> Callable[[Tensor], None]:
    """The step as one CUDA graph, as PyTorch's notes on graphs have it; the weights and Adam are as they were."""
    x, before = batch.clone(), [p.detach().clone() for p in net.parameters()]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step(x)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # its zero_grad lets gradients get memory of the graph's own
        step(x)
    with torch.no_grad():
        for p, value in zip(net.parameters(), before, strict=True):
            p.copy_(value)
        for state in adam.state.values():
            for value in state.values():
                value.zero_()

    def replay(batch: Tensor) -> None:
        x.copy_(batch)
        graph.replay()

    return replay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS, default="eager")
    parser.add_argument("--compile", action="store_const", const="compile", dest="way")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    serve(PyTorch(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
