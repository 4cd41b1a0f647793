"""Steps that are recorded once and run again: on a GPU one CUDA graph, with nothing between its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .model import Model

KEPT = 16  # per model: batches of several sizes, and the optimizer's kinds of steps


class Recording(NamedTuple):
    """A step, and what it refers to: it is good as long as all of that lies where it lay."""

    objects: tuple
    again: Callable[[], None] | None  # None: it ran once, so all its kernels are compiled and its memory is there


def run(model: Model, key: tuple, objects: tuple, work: Callable[[], None]) -> None:
    """Do the work, which must depend on nothing of the host but `key`: recorded when it is done for the second time,
    and run from the recording after that."""
    backend, _ = model.device()
    if not (backend.records and model.records):
        work()
        return
    known = model._recordings.pop(key, None)
    if known is None or any(a is not b for a, b in zip(known.objects, objects, strict=True)):
        work()
        known = Recording(objects, None)
    else:
        if known.again is None:
            known = Recording(objects, backend.recorder.record(work))
        assert known.again is not None
        known.again()
    model._recordings[key] = known
    while len(model._recordings) > KEPT:
        del model._recordings[next(iter(model._recordings))]  # the one not used for longest
