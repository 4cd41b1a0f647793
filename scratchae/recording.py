"""What ops do, recorded once and done again: on a GPU one CUDA graph, with nothing between its kernels, and on a CPU a
tape, without Python between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .changes import changes

if TYPE_CHECKING:
    from .model import Model

KEPT = 64  # per model: batches of several sizes, their slabs, and the optimizer's kinds of steps


class Recording(NamedTuple):
    """Work, and what it refers to: it is good as long as all of that lies where it lay."""

    objects: tuple
    changes: int  # until then
    again: Callable[..., None] | None  # None: it is done once before, so that kernels are compiled and memory is there


def run(
    model: Model, key: tuple, objects: tuple, work: Callable[..., None], arrays: Sequence[Sequence[np.ndarray]] = ()
) -> None:
    """Do the work, from its recording if there is one."""
    again = find(model, key, objects, work, arrays) if possible(model) else None
    if again is None:
        first(model, work, *arrays)
    else:
        again(*arrays)


def possible(model: Model) -> bool:
    """Whether what a model does is recorded."""
    return model.device()[0].records and model.records and model.recordable


def find(
    model: Model, key: tuple, objects: tuple, work: Callable[..., None], arrays: Sequence[Sequence[np.ndarray]] = ()
) -> Callable[..., None] | None:
    """What does the work again: recorded when this is asked for the second time; None is the answer to the first, after
    which the work is to be done. Ops must do all of it, and it must depend on nothing of the host but `key`. It is
    given `arrays`, lists of arrays of the host, for which others of the same shapes and types may be given another
    time."""
    forms = [(len(some), *[(array.shape, array.dtype) for array in some]) for some in arrays]
    key = threading.get_ident(), *key, *forms  # whose memory for partial sums it is
    known = model._recordings.pop(key, None)
    if known is None or known.changes != changes() or not same(known.objects, objects):
        known = Recording(objects, changes(), None)
    elif known.again is None:
        known = known._replace(again=model.device()[0].recorder.record(partial(quietly, work), *arrays))
    model._recordings[key] = known
    while len(model._recordings) > KEPT:
        del model._recordings[next(iter(model._recordings))]  # the one not used for longest
    return known.again


def first(model: Model, work: Callable[..., None], *arguments: Any) -> None:
    """Do work that `find` has not met before, or forget that it has."""
    try:
        quietly(work, *arguments)
    except BaseException:
        model._recordings.clear()
        raise


def quietly(work: Callable[..., None], *arguments: Any) -> None:
    """Without NumPy's warnings: what is not finite is found by its flag."""
    with np.errstate(all="ignore"):
        work(*arguments)


def same(some: tuple, others: tuple) -> bool:
    """Whether they are the same objects."""
    return len(some) == len(others) and all(map(is_, some, others))
