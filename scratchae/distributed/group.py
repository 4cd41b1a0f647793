"""What training asks of the processes it runs in, and the answers where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data import Data
    from ..model import Model


class Group:
    """The processes that train together, `size` of them, of which this one is number `rank`: here one by itself."""

    rank, size = 0, 1

    def share(self, n: int) -> tuple[int, int]:
        """Where the part that this process takes of n samples begins and ends; with few samples it may be empty."""
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    def begin(self, model: Model, sets: Sequence[Data | None], *numbers: int) -> None:
        """Before the first step: see to it that all processes begin with the same."""

    def add_up(self, model: Model, n: int, gradients: bool) -> None:
        """Make of each process's share of n samples the totals, and the gradients, of all of them."""

    def check(self, model: Model) -> None:
        """Raise RuntimeError if the processes no longer have the same weights."""

    def any(self, value: bool) -> bool:
        """Whether it is so in one of the processes."""
        return value

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is raised in here is raised in all processes alike, or ends them all."""
        yield

    def report(self, error: BaseException, say: Callable[[], None]) -> None:
        """Say what went wrong: once if all processes failed in the same way. If others go on, end them."""
        say()


ALONE = Group()
