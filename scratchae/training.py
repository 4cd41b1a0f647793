"""The training loop: epochs of batches, and what fit, evaluate and predict make of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, recording, resuming
from .callbacks import Callback, CallbackList, History, ProgressBar, TerminateOnNaN
from .data import Data, as_data, find_invalid, load_finite, raise_if_invalid
from .distributed import ALONE, Group, group_on
from .feed import Feed, Turn, in_groups
from .kernels import Array
from .losses import BinaryCrossentropy
from .run import Run
from .step import batch_totals, gradient_batch, merged, not_finite, run_batch, settle, train_step

if TYPE_CHECKING:
    from .model import Model
    from .plan import Plan

BATCH_SIZE = 32  # Keras' default
TOGETHER = 8  # steps in one recording: the host takes as long to start it as a GPU for a small step
ROUNDING = 1e-6  # how far data in [0, 1] may reach beyond: MinMaxScaler gives 1.0000000000000002
LARGE = 2**14  # numbers of a batch, below which a copy takes less time than to find out that none is needed
PREDICTION = 1 << 32  # predict and evaluate draw noise from here on, so that training's numbers stay its own


class Means:
    """Means over the samples seen so far: what Keras logs. Sums are those of `Numbers.totals`."""

    def __init__(self, names: Sequence[str]):
        self.names, self.sums, self.count = names, [0.0] * (1 + len(names)), 0

    def add(self, sums: Sequence[float], n: int) -> None:
        """More sums, over n samples."""
        self.sums = [total + more for total, more in zip(self.sums, sums, strict=True)]
        self.count += n

    def values(self) -> list[float]:
        """In the order of `names`."""
        return [total / self.count for total in merged(self.sums)]

    def logs(self, prefix: str = "") -> dict[str, float]:
        """By name."""
        return by_name(self.names, self.values(), prefix)

    def get_state(self) -> dict[str, Any]:
        return {"sums": self.sums, "count": self.count}

    def set_state(self, state: dict[str, Any]) -> None:
        self.sums, self.count = state["sums"], state["count"]


def log_names(model: Model) -> list[str]:
    return ["loss", *(metric.name for metric in model.metrics)]


# ---- orders and batches ---------------------------------------------------------------------------------------------
def permutation(seed: np.random.SeedSequence, index: int, n: int) -> np.ndarray:
    """The order of pass number `index` through n samples: it can be drawn again without those before it."""
    child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))
    return np.random.Generator(np.random.Philox(child)).permutation(n)


def batches(n: int, batch_size: int, steps: int | None = None) -> Iterator[np.ndarray]:
    """Rows in order, `batch_size` at a time, the last ones fewer."""
    for i, start in enumerate(range(0, n, batch_size)):
        if steps is not None and i >= steps:
            return
        yield np.arange(start, min(start + batch_size, n))


def size_of_batches(owner: str, batch_size: int | None, steps: int | None = None) -> int:
    """The batch size, checked along with the number of batches."""
    if steps is not None:
        checks.positive_integer(owner, "steps", steps)
    return BATCH_SIZE if batch_size is None else checks.positive_integer(owner, "batch_size", batch_size)


class Epochs:
    """The batches of each epoch: a pass through the data, or steps_per_epoch batches of passes that go on."""

    def __init__(self, model: Model, n: int, batch_size: int, shuffle: bool, steps_per_epoch: int | None):
        self.model, self.n, self.batch_size, self.shuffle = model, n, batch_size, shuffle
        self.batches_per_pass = -(-n // batch_size)
        self.steps = steps_per_epoch or self.batches_per_pass
        self.order: np.ndarray | None = None
        self.position = 0  # batches of this pass already given

    def __iter__(self) -> Iterator[Turn]:
        return self.after(0)

    def after(self, done: int) -> Iterator[Turn]:
        """The batches of an epoch, but for those that are done already."""
        for _ in range(done, self.steps):
            if self.order is None:
                self.order = self._order(self.model._passes)
                self.model._passes += 1
            order, index = self.order, self.position
            self.position += 1
            if self.position == self.batches_per_pass:
                self.order, self.position = None, 0
            yield Turn(order, index, self.batch_size)

    def _order(self, index: int) -> np.ndarray:
        return permutation(self.model._shuffle_seed, index, self.n) if self.shuffle else np.arange(self.n)

    def go_on(self, position: int) -> None:
        """From so many batches of the model's last pass, or from the beginning of the next."""
        self.position = position
        self.order = self._order(self.model._passes - 1) if position else None


# ---- the verbs of a model -------------------------------------------------------------------------------------------
def fit(
    model: Model, x: Any, y: Any, batch_size: int | None, epochs: int, verbose: int | str,
    callbacks: Sequence[Callback] | None, validation_split: float, validation_data: Any, shuffle: bool,
    class_weight: Any, sample_weight: Any, initial_epoch: int, steps_per_epoch: int | None,
    validation_steps: int | None, validation_batch_size: int | None, validation_freq: int | Sequence[int],
) -> History:  # fmt: skip
    """Model.fit."""
    batch_size = size_of_batches("fit", batch_size)
    for name, count in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise ValueError(f"fit: {name}={count!r} must be an integer of at least 0")
    for name, steps in (("steps_per_epoch", steps_per_epoch), ("validation_steps", validation_steps)):
        if steps is not None:
            checks.positive_integer("fit", name, steps)
    if not isinstance(validation_freq, Sequence):
        checks.positive_integer("fit", "validation_freq", validation_freq)
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"fit: verbose={verbose!r} is unknown; expected 'auto', 0, 1 or 2")
    if class_weight is not None:
        raise ValueError(
            "fit: class_weight needs one class a sample as target, and here the target is data; use sample_weight"
        )
    data = as_data("fit", model, x, y, sample_weight)
    data, validation = split_validation(model, data, validation_split, validation_data)
    check_size = batch_size
    if validation_batch_size is not None:
        check_size = checks.positive_integer("fit", "validation_batch_size", validation_batch_size)
    warn_of_range(model, data)
    verbose = 1 if verbose == "auto" else int(verbose)
    rounds = Epochs(model, data.n, batch_size, shuffle, steps_per_epoch)
    history, bar = History(), ProgressBar(verbose, data.n, batch_size)
    params = {"verbose": verbose, "epochs": epochs, "steps": rounds.steps}
    group = group_on(model.device()[0])
    hooks = CallbackList([*(callbacks or []), *([bar] if verbose else []), history], model, params, group.rank == 0)

    with model._lock, group.together():
        feed = Feed(model, data, hold=True, group=group)
        validation = validation and validation.held(feed.backend)
        run = Run(model, rounds, hooks, bar, initial_epoch)
        if run.backup is not None:
            often = list(validation_freq) if isinstance(validation_freq, Sequence) else validation_freq
            run.find_backup(
                resuming.task(
                    model, data, validation, batch_size=batch_size, shuffle=shuffle, steps_per_epoch=steps_per_epoch,
                    validation_batch_size=validation_batch_size, validation_steps=validation_steps,
                    validation_freq=often,
                )
            )  # fmt: skip
        group.begin(model, [data, validation], batch_size, check_size, epochs, rounds.steps, *run.place())
        model.history, model.stop_training = history, False
        try:
            run.begin(epochs)
            for epoch in run.epochs(epochs):
                means = Means(log_names(model))
                run.begin_epoch(epoch, means)
                logs = train_epoch(model, feed, run, means)
                group.check(model)
                if validation is not None and is_due(validation_freq, epoch):
                    measured = measure("fit", model, validation, check_size, validation_steps, hooks, group=group)
                    logs |= measured.logs("val_")
                run.end_epoch(logs)
                if group.any(model.stop_training):
                    break
            assert model.optimizer is not None  # as_data has checked
            model.optimizer.finish(model.training_store())
            run.end()
        finally:
            bar.close()
    return history


def train_epoch(model: Model, feed: Feed, run: Run, means: Means) -> dict[str, float]:
    """The steps of an epoch, or what is left of them; returns the means of loss and metrics.

    Where steps are recorded, the device is asked how they went only if somebody wants to know, and at the end. Until
    then `unsettled` holds their rows.
    """
    hooks, bar, rounds, unsettled = run.hooks, run.bar, run.rounds, []
    watched = not feed.records or hooks.listens("on_train_batch_end", "on_batch_end", but=ProgressBar)
    backs_up = run.backs_up_batches
    optimizer, steps, done = model.optimizer, None, run.batch
    assert optimizer is not None
    alone = watched or backs_up or hooks.listens("on_train_batch_begin", "on_batch_begin", but=ProgressBar)
    together = TOGETHER if feed.on_device and optimizer.steps_are_alike and not alone else 1
    try:
        for turns in in_groups(rounds.after(done), together):
            numbers = range(done, done + len(turns))
            for i in numbers:
                hooks.call("on_train_batch_begin", i, {})
            data, taken = feed.take(turns[0])
            if optimizer.iterations != steps:  # the first batch, or a callback has trained on others
                model.numbers().begin(means.sums)
            train_step("fit", model, data, taken, turns[0].batch, feed.group, len(turns))
            steps, done = optimizer.iterations, numbers.stop
            unsettled += [turn.rows for turn in turns]
            due = backs_up and run.is_due()
            asked = watched or due or bar.is_due() or done == rounds.steps
            if asked:
                settle_steps(model, feed, means, unsettled, hooks)
            for i in numbers:
                hooks.call("on_train_batch_end", i, means.logs() if asked else {})
            if model.stop_training:
                break
            if due:
                run.end_batch(done - 1)
    finally:
        if unsettled:  # training was broken off: the optimizer is to know how far it came
            settle(model)
    return means.logs()


def settle_steps(model: Model, feed: Feed, means: Means, unsettled: list[np.ndarray], hooks: CallbackList) -> None:
    """Take the means from the device; if something was not finite, raise the error, or hand NaN to TerminateOnNaN."""
    assert model.optimizer is not None
    before = model.optimizer.iterations - len(unsettled)
    _, sums, finite = settle(model)
    if not finite:
        failed = unsettled[model.optimizer.iterations - before]
        if not hooks.has(TerminateOnNaN):
            unsettled.clear()
            raise not_finite("fit", model, feed.original, failed)
        sums[0] = float("nan")
    means.sums, means.count = sums, means.count + sum(map(len, unsettled))
    unsettled.clear()


def split_validation(model: Model, data: Data, split: float, given: Any) -> tuple[Data, Data | None]:
    """What to train on and what to validate on: the end of the data, or what was given, or nothing."""
    split = checks.number("fit", "validation_split", split, low=0, high=1, high_open=True)
    if given is not None:
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise TypeError("fit: validation_data must be a tuple (x, y) or (x, y, sample_weight)")
        return data, as_data("fit: validation_data", model, *given)
    if not split:
        return data, None
    cut = floor(data.n * (1 - split))
    if cut in (0, data.n):
        purpose = "validate" if cut else "train"
        raise ValueError(f"fit: validation_split={split:g} of {data.n} samples leaves none to {purpose} on")
    return data.part(slice(0, cut)), data.part(slice(cut, None))


def is_due(frequency: int | Sequence[int], epoch: int) -> bool:
    """Whether an epoch, counted from 0, is one after which to validate: every so many, or those listed from 1."""
    return epoch + 1 in frequency if isinstance(frequency, Sequence) else (epoch + 1) % frequency == 0


def warn_of_range(model: Model, data: Data) -> None:
    """Say so if targets are not what binary cross-entropy is for: bytes that nobody has divided by 255, above all."""
    if isinstance(model.loss, BinaryCrossentropy) and data.target is not None:
        first = np.asarray(data.target[:BATCH_SIZE])
        if first.size and (first.min() < -ROUNDING or first.max() > 1 + ROUNDING):
            warnings.warn(
                f"fit: targets reach from {first.min():g} to {first.max():g}, and {model.loss.name} is for [0, 1]; "
                "scale them, bytes with x / 255, or compile with loss='mse'",
                stacklevel=4,
            )


def measure(
    owner: str, model: Model, data: Data, batch_size: int, steps: int | None, hooks: CallbackList, bar: Any = None,
    group: Group = ALONE,
) -> Means:  # fmt: skip
    """Loss and metrics over data, in inference mode."""
    means = Means(log_names(model))
    hooks.call("on_test_begin", {})
    for i, rows in enumerate(batches(data.n, batch_size, steps)):
        hooks.call("on_test_batch_begin", i, {})
        numbers = model.numbers()
        numbers.backend.upload(numbers.draw, next_draw(model))
        run_batch(owner, model, data, rows, gradients=False, training=False, step=numbers.draw, group=group)
        means.add([len(rows) * total for total in batch_totals(model)], len(rows))
        hooks.call("on_test_batch_end", i, means.logs())
        if bar is not None:
            bar.update()
    hooks.call("on_test_end", means.logs())
    return means


def result(names: Sequence[str], values: list[float], return_dict: bool) -> Any:
    """A float, a list with the metrics, or a dict: what Keras returns."""
    if return_dict:
        return by_name(names, values)
    return values[0] if len(values) == 1 else values


def by_name(names: Sequence[str], values: Sequence[float], prefix: str = "") -> dict[str, float]:
    """Values as Keras logs them, sorted by their names."""
    return {prefix + name: value for name, value in sorted(zip(names, values, strict=True))}


def waiting_bar(verbose: int | str, total: int) -> Any:
    """A progress bar for evaluate and predict; with "auto" only on a terminal, and where one has to wait."""
    if not verbose:
        return None
    from tqdm.auto import tqdm

    when = {"disable": None, "delay": 1.0} if verbose == "auto" else {}  # None: where there is no terminal
    return tqdm(total=total, unit=" batches", dynamic_ncols=True, leave=False, **when)


def evaluate(
    model: Model, x: Any, y: Any, batch_size: int | None, verbose: int | str, sample_weight: Any, steps: int | None,
    callbacks: Sequence[Callback] | None, return_dict: bool,
) -> Any:  # fmt: skip
    """Model.evaluate."""
    batch_size = size_of_batches("evaluate", batch_size, steps)
    data = as_data("evaluate", model, x, y, sample_weight)
    bar = waiting_bar(verbose, -(-data.n // batch_size))
    hooks = CallbackList(callbacks or [], model, {"verbose": verbose, "epochs": 1, "steps": steps})
    try:
        with model._lock:
            means = measure("evaluate", model, data, batch_size, steps, hooks, bar)
        return result(means.names, means.values(), return_dict)
    finally:
        if bar is not None:
            bar.close()


def predict(
    model: Model, x: Any, batch_size: int | None, verbose: int | str, steps: int | None,
    callbacks: Sequence[Callback] | None,
) -> Any:  # fmt: skip
    """Model.predict."""
    batch_size = size_of_batches("predict", batch_size, steps)
    data = as_data("predict", model, x, targets=False)
    n = data.n if steps is None else min(data.n, steps * batch_size)
    bar = waiting_bar(verbose, -(-n // batch_size))
    hooks = CallbackList(callbacks or [], model, {"verbose": verbose, "epochs": 1, "steps": steps})
    try:
        with model._lock:
            outputs, draw = outputs_of(model, n), next_draw(model)
            hooks.call("on_predict_begin", {})
            for i, rows in enumerate(batches(n, model.slab_size(batch_size))):
                hooks.call("on_predict_batch_begin", i, {})
                predict_rows(model, data, rows, outputs, draw)
                hooks.call("on_predict_batch_end", i, {})
                if bar is not None:
                    bar.update()
            hooks.call("on_predict_end", {})
    finally:
        if bar is not None:
            bar.close()
    return model._contain(outputs) if model._container else outputs[0]


def next_draw(model: Model) -> int:
    """What the noise of a call of predict or evaluate is drawn from: another number than for those before."""
    model._predictions += 1
    return PREDICTION + model._predictions - 1


def outputs_of(model: Model, n: int) -> list[np.ndarray]:
    """Memory for the predictions of n samples."""
    _, dtype = model.device()
    return [np.empty((n, *tensor.sample_shape), dtype) for tensor in model.outputs]


def predict_rows(model: Model, data: Data, rows: np.ndarray, outputs: list[np.ndarray], draw: int) -> None:
    """The predictions of some samples that follow each other, in their place in `outputs`, with the noise of a draw.

    Large arrays that kernels can take as they are are read and written in place.
    """
    numbers, part = model.numbers(), slice(int(rows[0]), int(rows[0]) + len(rows))
    plan, results = model.plan(len(rows), penalties=False), [output[part] for output in outputs]
    large = data.inputs[0].size // data.n * len(rows) >= LARGE
    arrays = in_place(plan, data, part, results) if large else ([], [])
    place = plan.place_of(part.start)
    if plan.draws:
        plan.backend.upload(numbers.draw, draw)

    def forward(sources: list[np.ndarray], targets: list[np.ndarray]) -> None:
        plan.place(sources or plan.inputs, targets or plan.outputs)
        try:
            find_invalid(plan, sources, numbers)
            plan.forward(False, numbers.draw, numbers.penalty, place, 0.0)  # nobody wants penalties
        finally:
            plan.place(plan.inputs, plan.outputs)

    sources, targets = arrays
    if not sources:
        load_finite("predict", plan, data, rows, numbers)
    recording.run(model, ("predict", id(plan), place), (plan, numbers), forward, arrays)
    if sources:
        raise_if_invalid("predict", plan, data, rows, numbers.invalid)
    if not targets:
        for result, output in zip(results, plan.outputs, strict=True):
            plan.backend.read(result, output)


def in_place(
    plan: Plan, data: Data, part: slice, results: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the plan may read in the data and write in the results: nothing if it can't do so with all of either."""
    takes = plan.backend.layout.takes
    ready = (isinstance(array, np.ndarray) and array.dtype == plan.dtype and takes(array) for array in data.inputs)
    sources = [array[part] for array in data.inputs] if plan.may_place_inputs() and all(ready) else []
    return sources, results if plan.may_place_outputs() and all(map(takes, results)) else []


def train_on_batch(model: Model, x: Any, y: Any, sample_weight: Any, return_dict: bool) -> Any:
    """Model.train_on_batch."""
    data = as_data("train_on_batch", model, x, y, sample_weight)
    with model._lock:
        train_step("train_on_batch", model, *Feed(model, data, hold=False).take_all())
        totals, _, finite = settle(model)
        if not finite:
            raise not_finite("train_on_batch", model, data, np.arange(data.n))
    return result(log_names(model), merged(totals), return_dict)


def test_on_batch(model: Model, x: Any, y: Any, sample_weight: Any, return_dict: bool) -> Any:
    """Model.test_on_batch."""
    data = as_data("test_on_batch", model, x, y, sample_weight)
    with model._lock:
        means = measure("test_on_batch", model, data, data.n, None, CallbackList([], model, {}))
    return result(means.names, means.values(), return_dict)


def predict_on_batch(model: Model, x: Any) -> Any:
    """Model.predict_on_batch."""
    data = as_data("predict_on_batch", model, x, targets=False)
    with model._lock:
        outputs, draw = outputs_of(model, data.n), next_draw(model)
        for rows in batches(data.n, model.slab_size(data.n)):
            predict_rows(model, data, rows, outputs, draw)
    return model._contain(outputs) if model._container else outputs[0]


def loss_and_gradients(model: Model, x: Any, y: Any, sample_weight: Any) -> tuple[float, list[Array | None]]:
    """Model.loss_and_gradients."""
    data = as_data("loss_and_gradients", model, x, y, sample_weight)
    with model._lock:
        values = gradient_batch("loss_and_gradients", model, data, np.arange(data.n))
        return values[0], [None if p.grad is None else p.backend.download(p.grad) for p in model.weights]
