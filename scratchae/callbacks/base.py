"""The base of all callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ..model import Model

Logs = dict[str, float]
Kind = TypeVar("Kind", bound="Callback")


class Callback:
    """The base of all callbacks: define the hooks you need.

    `self.model` is the model, `self.params` holds verbose, epochs and steps. `get_state` and `set_state` let training
    that was broken off go on where it was (see BackupAndRestore): override both if the callback remembers anything.

    Of several processes that train together each calls its callbacks, with the same logs. Those with `reports` run in
    the first one only: what writes, draws or prints, and changes nothing about training.
    """

    reports = False

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None: ...
    def on_train_end(self, logs: Logs | None = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_begin(self, logs: Logs | None = None) -> None: ...
    def on_test_end(self, logs: Logs | None = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_begin(self, logs: Logs | None = None) -> None: ...
    def on_predict_end(self, logs: Logs | None = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_end(batch, logs)

    def get_state(self) -> dict[str, Any]:
        """What the callback remembers, as numbers, strings, lists, dicts and arrays."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Remember what `get_state` gave."""


class CallbackList:
    """Several callbacks as one."""

    def __init__(self, callbacks: Sequence[Callback], model: Model, params: dict[str, Any], first: bool = True):
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks holds {callback!r}, a {type(callback).__name__}; expected scratchae.callbacks.Callback"
                )
        self.callbacks = [callback for callback in callbacks if first or not callback.reports]
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def listens(self, *hooks: str, but: type) -> bool:
        """Whether a callback, but for those of one class, has one of these hooks."""
        return any(
            hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook)
            for callback in self.callbacks
            if not isinstance(callback, but)
            for hook in hooks
        )

    def has(self, kind: type) -> bool:
        return any(isinstance(callback, kind) for callback in self.callbacks)

    def find(self, kind: type[Kind]) -> Kind | None:
        """The callback of a class that may be there once, None if it is not."""
        found = [callback for callback in self.callbacks if isinstance(callback, kind)]
        if len(found) > 1:
            raise ValueError(f"callbacks holds {len(found)} {kind.__name__}; expected one at most")
        return found[0] if found else None

    def with_state(self) -> list[Callback]:
        """Those that remember something."""
        return [callback for callback in self.callbacks if type(callback).get_state is not Callback.get_state]

    def get_state(self) -> dict[str, Any]:
        """By place and class."""
        return {f"{i} {type(c).__name__}": c.get_state() for i, c in enumerate(self.with_state())}

    def set_state(self, states: dict[str, Any]) -> None:
        """Give each callback the state of the one of its class; one that is new keeps its own."""
        left: dict[str, list[Any]] = {}
        for key, state in states.items():
            left.setdefault(key.split()[1], []).append(state)
        for callback in self.with_state():
            of_class = left.get(type(callback).__name__)
            if of_class:
                callback.set_state(of_class.pop(0))


class LambdaCallback(Callback):
    """Functions as hooks: LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))."""

    def __init__(self, **hooks: Callable[..., None]):
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(key for key in vars(Callback) if key.startswith("on_"))
                raise TypeError(f"LambdaCallback: {name} is no hook; expected one of {known}")
            setattr(self, name, function)
