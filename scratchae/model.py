"""Models: a graph of layers that can be trained, evaluated and asked."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import config, losses, metrics, optimizers, training
from .backend import Backend, default_backend, get_backend
from .changes import changes, note_change
from .graph import Graph, Tensor
from .kernels import Array
from .layers.base import Layer
from .numbers import Numbers
from .parameters import Parameter, ParameterStore
from .plan import Plan
from .recording import Recording

PLANS_KEPT = 8  # per model: training, validation and their ragged last batches, twice over


class Model(Layer):
    """The computation that leads from `inputs` to `outputs`, symbolic tensors.

        x = Input((784,))
        auto = Model(x, decoder(encoder(x)))

    A model is a layer too: called on a tensor it becomes part of another model, with which it shares its weights.
    Several inputs or outputs are given as a list or tuple; `predict` then returns the outputs in the same container.

    Raises TypeError for inputs or outputs that are not symbolic tensors, ValueError where an output can't be reached
    from the inputs.
    """

    takes_several = True

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None):
        super().__init__(name=name)
        self._lock = threading.RLock()
        self._plans: dict[tuple, Plan] = {}
        self._memory: Array = None  # all plans lie on it: one at a time is in use
        self._memory_of: Backend | None = None  # where that is
        self._using: Plan | None = None  # the plan in use
        self._numbers: dict[tuple[str, np.dtype], Numbers] = {}
        self._store: ParameterStore | None = None
        self._place: tuple[Backend, np.dtype] | None = None  # of a model without weights; None: the defaults
        self._device: tuple[Backend, np.dtype] | None = None  # as found when `changes()` was _device_at
        self._regularized: list[Parameter] = []
        self._recordable = True
        self._device_at = self._checked_at = self._regularized_at = self._recordable_at = -1
        self._recordings: dict[tuple, Recording] = {}  # of steps: see recording.py
        self._conveyors: dict[str, dict] = {}
        self.records = True  # steps on a device that can
        self._predictions = 0  # calls of predict and evaluate: their noise differs from one to the next
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: list[metrics.Metric] = []
        self.history: Any = None
        self.stop_training = False
        self.target_hint = ""  # what to say where targets don't have the shape of the output
        self._set_graph(inputs, outputs)

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        self.inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        self.outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        for role, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not tensors:
                raise ValueError(f"Model: {role} is empty; expected at least one symbolic tensor")
            for tensor in tensors:
                if not isinstance(tensor, Tensor):
                    raise TypeError(
                        f"Model(inputs, outputs): {role} is a {type(tensor).__name__}; expected symbolic tensors"
                    )
        self._container = type(outputs) if isinstance(outputs, (list, tuple)) else None
        self.graph: Graph = Graph(self.inputs, self.outputs)
        self.layers: list[Layer] = list(dict.fromkeys(node.layer for node in self.graph.nodes))
        names = [layer.name for layer in self.layers]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(f"Model: several layers are called {twice[0]!r}; give each its own name=")
        self._plans.clear()
        self._only_vectors: bool | None = None
        self._built_for = self.input_shape
        self.built = True

    # ---- as a layer -------------------------------------------------------------------------------------------------
    def __call__(self, inputs: Any) -> Any:
        """On symbolic tensors: part of another model. On arrays: the outputs for them, as `predict_on_batch`."""
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if not any(isinstance(tensor, Tensor) for tensor in tensors):
            return self.predict_on_batch(inputs)
        return self._contain(super().__call__(inputs))

    def build(self, input_shape: Any) -> None:
        """A model's layers are built already."""

    def accepts(self, input_shape: Any) -> bool:
        return input_shape == self.input_shape

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not self.accepts(input_shape):
            raise ValueError(f"{self} takes inputs of shape {self.input_shape} and is called on {input_shape}")
        return self.output_shape

    def _contain(self, outputs: Any) -> Any:
        return self._container(outputs) if self._container and isinstance(outputs, list) else outputs

    # ---- structure --------------------------------------------------------------------------------------------------
    @property
    def input(self) -> Any:
        """The symbolic input, or the list of them."""
        return self.inputs[0] if len(self.inputs) == 1 else self.inputs

    @property
    def output(self) -> Any:
        """The symbolic output, or the list of them."""
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs

    @property
    def input_shape(self) -> Any:
        """Shape of the input with None for the batch, or the list of them."""
        return self.inputs[0].shape if len(self.inputs) == 1 else [tensor.shape for tensor in self.inputs]

    @property
    def output_shape(self) -> Any:
        """Shape of the output with None for the batch, or the list of them."""
        return self.outputs[0].shape if len(self.outputs) == 1 else [tensor.shape for tensor in self.outputs]

    @property
    def weights(self) -> list[Parameter]:
        """All parameters, layer by layer: encoder before decoder."""
        return list(dict.fromkeys(p for layer in self.layers for p in layer.weights))

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The parameters that training changes."""
        if not self.trainable:
            return []
        return list(dict.fromkeys(p for layer in self.layers for p in layer.trainable_weights))

    @property
    def trainable(self) -> bool:
        """Whether the optimizer gets the parameters; setting it sets every layer's. Set it before compile."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        note_change()
        for layer in self.layers:
            layer.trainable = value

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, here or in a nested model, or the layer at an index; ValueError if there is none."""
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"{self}: index={index} is out of range; there are {len(self.layers)} layers")
            return self.layers[index]
        found = [layer for layer in self._all_layers() if layer.name == name]
        if not found:
            names = ", ".join(layer.name for layer in self._all_layers())
            raise ValueError(f"{self}: there is no layer {name!r}; the layers are {names}")
        return found[0]

    def _all_layers(self) -> Iterable[Layer]:
        for layer in self.layers:
            yield layer
            if isinstance(layer, Model):
                yield from layer._all_layers()

    def summary(self, print_fn: Any = print, expand_nested: bool = True) -> None:
        """Print a table of the layers: output shape and number of parameters; the layers of nested models indented."""
        from .summary import as_text

        print_fn(as_text(self, expand_nested))

    def _repr_html_(self) -> str:
        from .summary import as_html

        return as_html(self)

    def get_config(self) -> dict[str, Any]:
        """The architecture, in Keras' form: see files/architecture.py."""
        from .files import architecture

        return architecture.describe(self)["config"]

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """A model of that architecture, with weights of its own; ScratchaeFormatError (a ValueError) if it is wrong."""
        from .files import architecture

        return architecture.make(architecture.as_entry(cls, config), None, custom_objects)

    # ---- device, memory, plans --------------------------------------------------------------------------------------
    def device(self) -> tuple[Backend, np.dtype]:
        """The backend and float type of the parameters; ValueError if they differ among each other."""
        if self._device is not None and self._device_at == changes():
            return self._device
        homes = {(p.backend, p.dtype) for p in self.weights}
        if not homes:
            dtype = np.dtype(config.floatx())
            return self._place or (default_backend().supporting(dtype), dtype)
        if len(homes) > 1:
            places = ", ".join(sorted(f"{backend.name} {dtype}" for backend, dtype in homes))
            raise ValueError(
                f"{self}: its weights are in different places ({places}); bring them together with model.to(...)"
            )
        self._device, self._device_at = homes.pop(), changes()
        return self._device

    @property
    def dtype(self) -> str:
        """The float type of the parameters."""
        return self.device()[1].name

    def to(self, device: str) -> Model:
        """Move the weights, and so every model that shares them, to a device; returns the model."""
        backend = get_backend(device)
        with self._lock:
            _, dtype = self.device()
            backend = backend.supporting(dtype)
            self._place = backend, dtype
            self._make_store(backend, dtype)
        return self

    def _make_store(self, backend: Backend, dtype: np.dtype) -> ParameterStore:
        trained = self.trainable_weights
        frozen = [p for p in self.weights if p not in set(trained)]
        self._plans.clear()
        self._recordings.clear()
        self._conveyors = {name: kept for name, kept in self._conveyors.items() if name == backend.name}
        self._store = ParameterStore(trained, frozen, backend, dtype, room=2 + len(self.metrics))
        if self.optimizer is not None:
            self.optimizer.build(self._store)
        return self._store

    def training_store(self) -> ParameterStore:
        """The home of the parameters, all of them brought there if another model had them."""
        store = self._store
        if store is not None and self._checked_at == changes() and self.optimizer.built:  # type: ignore[union-attr]
            return store
        backend, dtype = self.device()
        if store is None or (store.backend, store.dtype) != (backend, dtype):
            return self._make_store(backend, dtype)
        if list(store.trained) != self.trainable_weights:
            raise ValueError(f"{self}: `trainable` of a layer was changed after compile; call compile again")
        if not store.is_home():
            store.adopt()
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(store)
        self._checked_at = changes()
        return store

    def slab_size(self, n: int) -> int:
        """How many of n samples go through the layers at once on the model's device."""
        backend, _ = self.device()
        if self._only_vectors is None:
            self._only_vectors = all(len(slot.shape) <= 2 for slot in Plan.slots_of(self.graph))
        size = backend.vector_slab_size if self._only_vectors else backend.slab_size
        return min(n, size or n)

    @property
    def recordable(self) -> bool:
        if self._recordable_at != changes():
            parts = [*self.layers, *self.metrics, self.loss, self.optimizer]
            self._recordable = all(part is None or part.recordable for part in parts)
            self._recordable_at = changes()
        return self._recordable

    def conveyors(self, backend: Backend) -> dict:
        """What brings batches to a device, by their kinds."""
        return self._conveyors.setdefault(backend.name, {})

    def regularized(self) -> list[Parameter]:
        """The trained parameters with a penalty of their own."""
        if self._regularized_at != changes():
            self._regularized = [p for p in self.trainable_weights if p.regularizer is not None]
            self._regularized_at = changes()
        return self._regularized

    def plan(
        self,
        n: int,
        gradients: bool = False,
        input_gradient: bool = False,
        fused: bool = True,
        loss: losses.Loss | None = None,
        penalties: bool = True,
    ) -> Plan:
        """The plan for n samples, with its memory; valid until the next call for another plan."""
        backend, dtype = self.device()
        key = n, gradients, input_gradient, fused, loss, penalties, backend.name, dtype
        plan = self._plans.pop(key, None)
        if plan is None:
            trained = self.trainable_weights if gradients else []
            plan = Plan(self.graph, trained, n, backend, dtype, gradients, input_gradient, fused, loss, penalties)
            if self._memory is None or self._memory_of is not backend or self._memory.size < plan.bytes:
                self._plans.clear()
                self._recordings.clear()
                self._memory, self._memory_of = backend.empty((plan.bytes,), np.dtype("uint8")), backend
            plan.bind(self._memory)
            while len(self._plans) >= PLANS_KEPT:
                del self._plans[next(iter(self._plans))]  # the one not used for longest
        self._plans[key] = plan
        if plan is not self._using:
            plan.take_memory()
            self._using = plan
        return plan

    def numbers(self) -> Numbers:
        """The small arrays of a step on the model's device."""
        backend, dtype = self.device()
        numbers = self._numbers.get((backend.name, dtype))
        if numbers is None or len(numbers.totals) != 2 + len(self.metrics):
            numbers = self._numbers[backend.name, dtype] = Numbers(backend, dtype, len(self.metrics))
        return numbers

    # ---- training: see training.py ----------------------------------------------------------------------------------
    def compile(
        self,
        optimizer: optimizers.Optimizer | str = "rmsprop",
        loss: losses.Loss | str | None = None,
        metrics: Sequence[metrics.Metric | str] | None = None,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
    ) -> None:
        """Choose optimizer, loss and metrics. The optimizer starts anew.

        What kernels do in a step is recorded when it comes for the second time, and then done again without Python;
        with run_eagerly=True or jit_compile=False it is done kernel by kernel, for debugging. The numbers are the same.
        Layers, losses, metrics and optimizers of your own are not recorded, unless their class has `recordable = True`.

        Raises ValueError for names that are not there, and for a model with several outputs.
        """
        if loss is None:
            raise ValueError("compile: loss=None; expected a loss such as 'binary_crossentropy' or 'mse'")
        if len(self.outputs) > 1:
            raise ValueError(f"compile: {self} has {len(self.outputs)} outputs; a model that is trained must have one")
        from . import metrics as metrics_module

        chosen_optimizer, chosen_loss = optimizers.get(optimizer), losses.get(loss)
        names = [metrics] if isinstance(metrics, str) else list(metrics or [])
        chosen_metrics = [metrics_module.get(metric, chosen_loss) for metric in names]
        self.optimizer, self.loss, self.metrics = chosen_optimizer, chosen_loss, chosen_metrics
        self.records = not run_eagerly and jit_compile is not False
        self._recordings.clear()
        self._store, self._checked_at, self._recordable_at = None, -1, -1  # what is trainable is decided here
        self._shuffle_seed = config.next_seed()
        self._passes = 0  # through the data since compile: each has its own permutation

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> Any:
        """Train, and return the History.

        Args:
            x, y: data and targets, (samples, ...); anything that NumPy reads, cast batch by batch. For an autoencoder
                y is x; for a denoising one x is the noisy data.
            batch_size: samples in a step, 32 if None; of all processes together, where there are several.
            epochs: the epoch to stop before; the first is initial_epoch.
            verbose: 0 silent, 1 or "auto" a progress bar, 2 a line an epoch.
            callbacks: objects of scratchae.callbacks.
            validation_split: fraction of the end of the data, cut off before shuffling.
            validation_data: (x, y) or (x, y, sample_weight) instead.
            shuffle: a new order for each epoch.
            sample_weight: (samples,), factors of each sample's loss.
            steps_per_epoch: batches in an epoch, instead of one pass through the data.
            validation_steps, validation_batch_size, validation_freq: batches, batch size, and every how many epochs.

        Raises ValueError or TypeError for arguments and data that don't fit, FloatingPointError when the loss or a
        gradient becomes NaN or infinite; the weights are then those of the last good step.
        """
        return training.fit(
            self, x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle,
            class_weight, sample_weight, initial_epoch, steps_per_epoch, validation_steps, validation_batch_size,
            validation_freq,
        )  # fmt: skip

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss on data, as a float; with metrics a list, with return_dict a dict."""
        return training.evaluate(self, x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
    ) -> Any:
        """The outputs for data (samples, ...), as new arrays of the model's float type."""
        return training.predict(self, x, batch_size, verbose, steps, callbacks)

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """One step on one batch; returns the loss before it, as `evaluate` would."""
        return training.train_on_batch(self, x, y, sample_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss on one batch."""
        return training.test_on_batch(self, x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        return training.predict_on_batch(self, x)

    def loss_and_gradients(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> tuple[float, list[np.ndarray | None]]:
        """The loss and its gradient for each array of `get_weights`, None for those not trained.

        As the next training step would compute them: training mode, its noise, penalties included, unclipped. Changes
        no weight, no counter and no state.
        """
        return training.loss_and_gradients(self, x, y, sample_weight)

    # ---- files ------------------------------------------------------------------------------------------------------
    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model to one file, whole or not at all: see scratchae.load and models.load_model.

        A .safetensors file keeps architecture, weights, compile settings, the state of the optimizer, the history and
        the seeds: training goes on from it as if it had never stopped. A .keras file is one that Keras reads and goes
        on training; it has no place for the history and the seeds. Raises ValueError for another ending,
        FileExistsError where there is a file and overwrite is False.
        """
        from . import files

        files.save(self, filepath, overwrite)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a .safetensors file, or to a .weights.h5 for Keras, whole or not at all."""
        from . import files

        files.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any) -> None:
        """Read the weights from a .safetensors, .keras or .weights.h5 file; ValueError, and no change, if they are
        another model's. From Keras' files a compiled model takes the state of its optimizer as well."""
        from . import files

        files.load_weights(self, filepath)

    def export(
        self, filepath: Any, format: str = "onnx", verbose: bool | None = None, input_signature: Any = None
    ) -> None:
        """Write what `predict` computes to an ONNX file, which onnxruntime and many other programs run.

        Inputs and outputs are float32 of the shapes (batch, ...) that the model has, channels last, for any batch, and
        are called like their layers. Each Sampling layer takes its noise as a further input, behind those of the model:
        "sampling_noise" (batch, latent), standard normal numbers, of which zeros give the mean. A float64 model is
        rounded to float32, as few programs run others.

        Args:
            filepath: ends in .onnx; an existing file is replaced when the new one is complete.
            format: "onnx", opset 17, is what there is.
            verbose: True prints the inputs and outputs.
            input_signature: None is what there is.

        Raises ImportError without the package onnx, ValueError for other arguments and for a layer class of your own.
        """
        from .files import onnx

        onnx.export(self, filepath, format, verbose, input_signature)
