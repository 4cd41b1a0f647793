"""Ctrl-C in the middle of an update waits until the update is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Uninterrupted:
    """`with UNINTERRUPTED:` holds KeyboardInterrupt back to the end of the block, which leaves no half-written step.

    A handler of SIGINT is exchanged once, as that takes longer than a small update; outside of such blocks it does what
    Python's own does. An application's own handler is left alone, and so are threads, which Ctrl-C does not reach.
    """

    def __init__(self) -> None:
        self.installed = self.inside = self.pending = False
        self.main = threading.main_thread().ident

    def __enter__(self) -> None:
        if threading.get_ident() == self.main:
            if not self.installed:
                self.installed = True
                if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                    signal.signal(signal.SIGINT, self._handle)
            self.inside = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.inside:
            self.pending = True
        else:
            signal.default_int_handler(number, frame)

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self.main:
            self.inside = False
            if self.pending:
                self.pending = False
                raise KeyboardInterrupt


UNINTERRUPTED = Uninterrupted()
