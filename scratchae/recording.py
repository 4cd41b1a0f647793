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
    again: Callable[..., None] | None  # None: it was done once, so all its kernels are compiled and its memory is there


def run(
    model: Model, key: tuple, objects: tuple, work: Callable[..., None], arrays: Sequence[Sequence[np.ndarray]] = ()
) -> None:
    """Do the work, all of which ops must do and which must depend on nothing of the host but `key`: recorded when it is
    done for the second time, and from the recording after that. It is given `arrays`, lists of arrays of the host, for
    which others of the same shapes and types may be given another time."""
    backend, _ = model.device()
    if not (backend.records and model.records and model.recordable):
        quietly(work, *arrays)
        return
    forms = [(array.shape, array.dtype) for some in arrays for array in some]
    key = threading.get_ident(), *key, *map(len, arrays), *forms  # whose memory for partial sums it is
    known = model._recordings.pop(key, None)
    if known is None or known.changes != changes() or not same(known.objects, objects):
        quietly(work, *arrays)
        known = Recording(objects, changes(), None)
    else:
        if known.again is None:
            known = known._replace(again=backend.recorder.record(partial(quietly, work), *arrays))
        assert known.again is not None
        known.again(*arrays)
    model._recordings[key] = known
    while len(model._recordings) > KEPT:
        del model._recordings[next(iter(model._recordings))]  # the one not used for longest


def quietly(work: Callable[..., None], *arguments: Any) -> None:
    """Without NumPy's warnings: what is not finite is found by its flag."""
    with np.errstate(all="ignore"):
        work(*arguments)


def same(some: tuple, others: tuple) -> bool:
    """Whether they are the same objects."""
    return len(some) == len(others) and all(map(is_, some, others))
