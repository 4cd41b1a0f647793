"""How often something has changed that models find out once: where parameters lie, what is trained, and settings."""

from __future__ import annotations

_changes = 0


def note_change() -> None:
    """To be called where parameters come to be, move, or become trainable or not, and where a setting changes."""
    global _changes
    _changes += 1


def changes() -> int:
    """How often that has happened: while it stays, what a model has found out holds."""
    return _changes
