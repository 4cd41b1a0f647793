"""Plans: a model flattened to a list of layer calls, with the memory for one size of batch.

A plan owns every activation, gradient and saved tensor of a step; layers own none. So a layer may be called twice,
models may share layers, and a callback may predict in the middle of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import fusion
from .backend import Backend
from .chains import chained
from .graph import Graph, Tensor
from .kernels import Array, Key, Ops
from .layers.activity_regularization import ActivityRegularization
from .layers.base import Layer
from .losses import Loss
from .parameters import Parameter


class Memory(NamedTuple):
    """What is to lie in memory: a tensor, and zeros around its images."""

    shape: tuple[int, ...]
    dtype: np.dtype
    border: tuple[int, int]


class Slot:
    """A tensor of a plan: where its value and its gradient are."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape  # with the number of samples in front
        self.value: Array = None
        self.gradient: Array = None  # None where nobody asks for it
        self.value_border = self.gradient_border = (0, 0)  # zeros around them, rows and columns, that layers read


class Call:
    """What a plan hands to a layer: the tensors of one call, and what the step is about.

    Also carries, under their own names, the tensors that the layer's `saved` asked for.
    """

    backend: Backend
    ops: Ops
    x: Array  # the input, or the first of several
    y: Array
    dx: Array | None = None  # None: nobody asks for it
    dy: Array
    inputs: list[Array]
    input_gradients: list[Array | None]
    n: int  # samples
    shape: tuple[int, ...]  # of y
    dtype: np.dtype
    penalty: Array  # (1,): a layer adds its term of the loss
    training: bool  # False: predict and evaluate
    accumulate: bool = False  # add to the gradients of parameters, or write them
    total: Array  # (1,), for a layer that is fused with the loss: it adds the loss of all,
    values: Array  # and writes that of each sample,
    target: Array  # what it is to be,
    weight: Array  # and the samples' factors
    step: Array  # (1,) uint64: with `key` and the sample's place, what noise is drawn from
    key: Key
    first_sample: int  # place of the first sample in the batch or data set
    sample_scale: float  # 1 / samples in the whole batch: scale of what is a mean over it

    @staticmethod
    def gradients(*parameters: Parameter | None) -> list[Array | None]:
        """The gradient of each parameter, None where there is no parameter or it is not trained."""
        return [None if p is None else p.grad for p in parameters]


class Step:
    """One layer call before memory: the layer, its slots, and what the backward pass asks of it."""

    def __init__(self, layer: Layer, inputs: list[Slot], outputs: list[Slot]):
        self.layer, self.inputs, self.outputs = layer, inputs, outputs
        self.call = Call()
        self.first_touch = True  # of its parameters' gradients within a step
        self.destinations: list[Slot | None] = []  # where the gradients of the inputs go
        self.sums: list[tuple[Slot, Slot]] = []  # and which of them are added: several layers read one tensor


def flatten(graph: Graph, n: int, penalties: bool = True) -> tuple[list[Slot], list[Step], list[Slot]]:
    """A graph's inputs, layer calls and outputs for n samples, nested models inlined, unused calls left out, and
    those of activity regularizers if nobody asks for penalties."""
    steps: list[Step] = []

    def inline(graph: Graph, inputs: Sequence[Slot]) -> list[Slot]:
        slot_of: dict[Tensor, Slot] = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            if node.outputs[0] in slot_of:
                continue
            needed = [slot_of[tensor] for tensor in node.inputs]
            if node.layer.graph is not None:
                results = inline(node.layer.graph, needed)
            else:
                results = [Slot((n, *tensor.sample_shape)) for tensor in node.outputs]
                steps.append(Step(node.layer, needed, results))
                penalty = node.layer.activity_regularizer
                if penalty is not None and penalties:
                    passed_on = [Slot(slot.shape) for slot in results]
                    name, seed = f"{node.layer.name}_activity", node.layer.seed  # no new one: a plan draws nothing
                    layer = ActivityRegularization(penalty.l1, penalty.l2, name=name, seed=seed)
                    steps.append(Step(layer, results, passed_on))
                    results = passed_on
            slot_of.update(zip(node.outputs, results, strict=True))
        return [slot_of[tensor] for tensor in graph.outputs]

    inputs = [Slot((n, *tensor.sample_shape)) for tensor in graph.inputs]
    outputs = inline(graph, inputs)
    used = set(outputs)
    for step in reversed(steps):
        if used.intersection(step.outputs):
            used.update(step.inputs)
    return inputs, [step for step in steps if used.intersection(step.outputs)], outputs


def fuse(steps: list[Step], outputs: list[Slot]) -> list[Step]:
    """The steps, with two in one where fusion has the pair and nobody else is to see what lies between."""
    readers = [slot for step in steps for slot in step.inputs] + outputs
    result: list[Step] = []
    for step in steps:
        before = next((s for s in result if s.outputs == step.inputs), None)
        if before is not None and readers.count(step.inputs[0]) == 1:
            layer = fusion.pair(before.layer, step.layer)
            if layer is not None:
                result.remove(before)
                step = Step(layer, before.inputs, step.outputs)
        result.append(step)
    return result


def fuse_loss(steps: list[Step], outputs: list[Slot], loss: Loss | None) -> bool:
    """Put the loss into the step that gives the prediction, the last one, if fusion has the two."""
    if not steps or steps[-1].outputs != outputs:
        return False
    layer = fusion.with_loss(steps[-1].layer, outputs[0].shape, loss)
    if layer is not None:
        steps[-1].layer = layer
    return layer is not None


def wider(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """A border that is enough for two."""
    return max(a[0], b[0]), max(a[1], b[1])


class Plan:
    """The layer calls of a graph for n samples, ready to run.

    `inputs`, `target` and `outputs` are tensors in the backend's layout; `values` and `weight`, and `mean_weight` which
    makes sums means, have one number a sample; `output_gradient` is where a loss writes, None if nothing that is
    trained stands before the output. With `gradients`, there is a backward pass. With `fused`, neighbouring layers run
    as one where a kernel can do both; a `loss` is given by those who do not look at the outputs, and where
    `computes_loss`, forward adds it to a total and puts its gradient in place. Without `penalties`, layers do without
    their activity regularizers.
    """

    own_target: Array  # memory for targets that are not the inputs
    values: Array
    outputs: list[Array]
    output_gradient: Array | None

    def __init__(
        self,
        graph: Graph,
        trained: Sequence[Parameter],
        n: int,
        backend: Backend,
        dtype: np.dtype,
        gradients: bool,
        input_gradient: bool,
        fused: bool = True,
        loss: Loss | None = None,
        penalties: bool = True,
    ):
        self.n, self.backend, self.dtype = n, backend, dtype
        self.input_slots, self.steps, self.output_slots = flatten(graph, n, penalties)
        self.computes_loss = False
        if fused:
            self.steps = fuse(self.steps, self.output_slots)
            self.computes_loss = fuse_loss(self.steps, self.output_slots, loss)
        self.draws = any(step.layer.draws for step in self.steps)
        self.mean_weight, self.own_weight = backend.empty((n,), dtype), backend.empty((n,), dtype)
        self.weight = self.mean_weight
        self._mean_weight_is: int | None = None
        self._wants: list[tuple[Any, str, Memory]] = []  # object, attribute, and what it is to be
        self.inputs: list[Array] = []
        self.target: Array = None
        for step in self.steps:
            around_x, around_dy = step.layer.borders()
            for slot in step.inputs:
                slot.value_border = wider(slot.value_border, around_x)
            for slot in step.outputs:
                slot.gradient_border = wider(slot.gradient_border, around_dy)
        for slot in [*self.input_slots, *(slot for step in self.steps for slot in step.outputs)]:
            self._want(slot, "value", slot.shape, border=slot.value_border)
        for step in self.steps:
            shapes = [(None, *slot.shape[1:]) for slot in step.inputs]
            saved = step.layer.saved(shapes[0] if len(shapes) == 1 else shapes)
            for name, (shape, kind) in saved.items():
                self._want(step.call, name, (n, *shape[1:]), dtype if kind is None else np.dtype(kind))
        self._want(self, "own_target", self.output_slots[0].shape)
        self._want(self, "values", (n,))
        self.backward_steps = self._plan_backward(trained, input_gradient) if gradients else []
        self.forward_chains = chained(self.steps, fused)
        self.backward_chains = chained(self.backward_steps, fused)
        self.bytes = sum(backend.activation_bytes(*memory) for _, _, memory in self._wants)

    @staticmethod
    def slots_of(graph: Graph) -> list[Slot]:
        """All tensors of a graph, those of nested models too."""
        inputs, steps, _ = flatten(graph, 1)
        return [*inputs, *(slot for step in steps for slot in step.outputs)]

    def _want(
        self,
        owner: object,
        attribute: str,
        shape: tuple[int, ...],
        dtype: np.dtype | None = None,
        border: tuple[int, int] = (0, 0),
    ) -> None:
        self._wants.append((owner, attribute, Memory(shape, self.dtype if dtype is None else dtype, border)))

    def _plan_backward(self, trained: Sequence[Parameter], input_gradient: bool) -> list[Step]:
        """The steps that backpropagation visits, in its order; asks for the memory of their gradients."""
        needed = set(self.input_slots) if input_gradient else set()
        for step in self.steps:
            if needed.intersection(step.inputs) or any(p.grad is not None for p in step.layer.parameters):
                needed.update(step.outputs)
        order = [step for step in reversed(self.steps) if needed.intersection(step.outputs)]

        written = set(self.output_slots[:1]) & needed  # by the loss
        touched: set[Parameter] = set()
        for step in order:
            step.first_touch = not touched.intersection(step.layer.parameters)
            touched.update(step.layer.parameters)
            for slot in step.inputs:
                if slot not in needed and len(step.inputs) == 1:
                    step.destinations.append(None)
                elif slot in written:  # a second reader: its share goes to memory of its own and is added
                    share = Slot(slot.shape)
                    self._want(share, "gradient", slot.shape)
                    step.destinations.append(share)
                    step.sums.append((slot, share))
                else:
                    written.add(slot)
                    step.destinations.append(slot)
        for slot in written:
            self._want(slot, "gradient", slot.shape, border=slot.gradient_border)
        self.unused = [p for p in trained if p not in touched]  # their gradient is zero
        return order

    def bind(self, memory: Array) -> None:
        """Lay the plan's tensors into `memory`, at least `bytes` long, and fill in the call records."""
        backend, start = self.backend, 0
        self._bordered: list[Array] = []
        for owner, attribute, what in self._wants:
            activation = backend.activation(memory[start:], *what)
            setattr(owner, attribute, activation)
            if what.border != (0, 0):
                self._bordered.append(activation)
            start += backend.activation_bytes(*what)
        calls: dict[Layer, int] = {}
        for step in self.steps:
            call, layer = step.call, step.layer
            call.backend, call.ops, call.n, call.dtype = backend, backend.ops, self.n, self.dtype
            call.inputs = [slot.value for slot in step.inputs]
            call.values = self.values
            call.x, call.y, call.dy = call.inputs[0], step.outputs[0].value, step.outputs[0].gradient
            call.shape = step.outputs[0].shape
            k0, k1 = (int(word) for word in layer.seed.generate_state(2))
            call.key = k0, (k1 + calls.get(layer, 0)) % 2**32  # a layer that is called twice draws other noise
            calls[layer] = calls.get(layer, 0) + 1
        for step in self.backward_steps:
            step.call.input_gradients = [None if slot is None else slot.gradient for slot in step.destinations]
            step.call.dx = step.call.input_gradients[0]
        self.inputs = [slot.value for slot in self.input_slots]
        self.outputs = [slot.value for slot in self.output_slots]
        self.output_gradient = self.output_slots[0].gradient
        read = [slot for step in self.steps for slot in step.inputs]
        self._readers = [
            [(step.call, i) for step in self.steps for i, other in enumerate(step.inputs) if other is slot]
            for slot in self.input_slots
        ]
        self._writers = [  # of outputs that nobody reads
            next((s.call for s in self.steps if s.outputs == [slot] and slot not in read), None)
            for slot in self.output_slots
        ]

    def place(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Let the layers read and write other arrays than the plan's own, until it is placed on those again."""
        for uses, array in zip(self._readers, inputs, strict=True):
            for call, i in uses:
                call.inputs[i] = array
                call.x = call.inputs[0]
        for writer, array in zip(self._writers, outputs, strict=True):
            if writer is not None:
                writer.y = array

    def may_place_inputs(self) -> bool:
        """Whether all inputs can be read elsewhere: not if one is an output as well."""
        return not set(self.input_slots) & set(self.output_slots)

    def may_place_outputs(self) -> bool:
        """Whether all outputs can be written elsewhere: not if a layer reads one."""
        return None not in self._writers

    def place_of(self, first_sample: int) -> int:
        """What layers are told of the first sample's place: where none draws noise, all places are one to them."""
        return first_sample if self.draws else 0

    def take_means_over(self, n: int) -> None:
        """Set the factors that make a sum over n samples their mean, mostly what they were."""
        if self._mean_weight_is != n:
            self.backend.upload(self.mean_weight, 1 / n)
            self._mean_weight_is = n

    def take_memory(self) -> None:
        """Make the plan ready to run after others have used its memory."""
        for activation in self._bordered:
            self.backend.clear_border(activation)

    def forward(
        self,
        training: bool,
        step: Array,
        penalty: Array,
        first_sample: int,
        sample_scale: float,
        total: Array | None = None,
    ) -> None:
        """Compute the outputs from the inputs, and add the layers' terms of the loss to `penalty` (1,), and the loss,
        if the plan computes it, to `total` (1,)."""
        if self.computes_loss:
            last = self.steps[-1].call
            last.total, last.target, last.weight = total, self.target, self.weight
        for s in self.steps:
            call = s.call
            call.training, call.step, call.penalty = training, step, penalty
            call.first_sample, call.sample_scale = first_sample, sample_scale
        for chain in self.forward_chains:
            chain.forward()

    def backward(self, accumulate: bool) -> None:
        """Compute all gradients from `output_gradient`."""
        if not accumulate:
            for parameter in self.unused:
                self.backend.upload(parameter.grad, 0)
        for s in self.backward_steps:
            s.call.accumulate = accumulate or not s.first_touch
        for chain in self.backward_chains:
            chain.backward()
            for slot, share in chain.steps[-1].sums:
                self.backend.ops.add(slot.gradient, share.gradient)

    def find_nonfinite(self) -> str | None:
        """Which layer's output or gradient holds the first NaN or infinity, in words; None if there is none."""
        for step in self.steps:
            y = np.empty(step.call.shape, self.dtype)
            self.backend.read(y, step.call.y)
            if not np.isfinite(y).all():
                return f"the output of {step.layer}"
        for step in self.backward_steps:
            gradients = [g for g in Call.gradients(*step.layer.parameters) if g is not None]
            if not all(np.isfinite(self.backend.download(g)).all() for g in gradients):
                return f"the gradient of {step.layer}'s weights"
        return None
