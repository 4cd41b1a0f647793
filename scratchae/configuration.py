"""Configurations: how an object was made, as plain values, in the form that Keras 3 gives them in its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from inspect import Parameter, signature
from typing import Any, ClassVar, Self

import numpy as np

from .changes import note_change


class Configurable:
    """An object that can be made again from its configuration: `cls.from_config(thing.get_config())`.

    The configuration is the arguments of the constructor, read back from the attributes of the same names. A class
    whose constructor ends in **options has the arguments of its base class as well.
    """

    module = ""  # the Keras module that has the class; "scratchae..." for those that Keras has not
    unsaved: tuple[str, ...] = ()  # arguments that are no part of the configuration
    fixed: ClassVar[dict[str, Any]] = {}  # what Keras lets vary, and this library does not
    ignored: tuple[str, ...] = ()  # what Keras writes, and nothing here depends on

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self) and name in settings(type(self)):  # type: ignore[arg-type]
            note_change()  # what has been recorded with the former one no longer holds
        object.__setattr__(self, name, value)

    @property
    def recordable(self) -> bool:
        """Whether all that it does to arrays is done by ops, so that it can be recorded and done again without it. A
        class of one's own, which may do what it likes, says so by `recordable = True`."""
        return type(self).__module__.partition(".")[0] == __package__

    def get_config(self) -> dict[str, Any]:
        """The arguments that make such an object, as JSON has them; objects among them as `serialize` gives them."""
        names = list(arguments(type(self)))
        for name in names:
            if not hasattr(self, name):
                raise TypeError(
                    f"{type(self).__name__}: its argument {name!r} is no attribute of it; keep it as one, or define "
                    "get_config"
                )
        return {name: plain(getattr(self, name)) for name in names} | self.fixed

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object of a configuration; ValueError for one that asks for what this library does not have."""
        known, given = set(arguments(cls)), {}
        for name, value in config.items():
            if name in known:
                given[name] = deserialize(value) if is_serialized(value) else value
            elif name in cls.fixed:
                if value != cls.fixed[name]:
                    expected = f"expected {cls.fixed[name]!r}"
                    raise ValueError(f"{cls.__name__}: {name}={value!r} is not supported; {expected}")
            elif value is not None and name not in cls.ignored:  # what is None, Keras does not use either
                raise ValueError(f"{cls.__name__}: {name}={value!r} is not supported; this class has no such argument")
        return cls(**given)


@cache
def settings(cls: type[Configurable]) -> frozenset[str]:
    """The names of what an object computes with, all but the learning rate, which steps are given anew."""
    return frozenset(arguments(cls)) - {"name", "learning_rate"}


def arguments(cls: type[Configurable]) -> Iterator[str]:
    """The names of the constructor's arguments that belong to the configuration, those of base classes first."""
    constructors = [base.__dict__["__init__"] for base in cls.__mro__[:-1] if "__init__" in base.__dict__]
    names: list[str] = []
    for constructor in constructors:
        parameters = list(signature(constructor).parameters.values())[1:]
        names = [p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD] + names
        if all(p.kind is not Parameter.VAR_KEYWORD for p in parameters):
            break  # it hands nothing on
    return (name for name in dict.fromkeys(names) if name not in cls.unsaved)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r} is a {type(value).__name__}; a configuration holds numbers, strings, lists and objects")


def serialize(thing: Configurable) -> dict[str, Any]:
    """An object as Keras' files have it: its class, and its configuration.

    Classes that are not of this library get their own module and name: whoever reads the file has to bring them.
    """
    cls = type(thing)
    ours = cls.__module__.partition(".")[0] == "scratchae"
    module, registered_name = (cls.module, None) if ours else (cls.__module__, cls.__name__)
    if module.startswith("scratchae"):
        registered_name = f"scratchae>{cls.__name__}"
    return {
        "module": module,
        "class_name": cls.__name__,
        "config": thing.get_config(),
        "registered_name": registered_name,
    }


def is_serialized(value: Any) -> bool:
    return isinstance(value, dict) and "class_name" in value


def deserialize(entry: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The object that `serialize` or Keras described: of a class of this library, or of custom_objects by its name.

    Nothing is imported by name. Raises ValueError for other classes, and what their constructors raise.
    """
    from .files.classes import find

    cls = find(entry, custom_objects)
    config = {
        name: deserialize(value, custom_objects) if is_serialized(value) else value
        for name, value in entry["config"].items()
    }
    return cls.from_config(config)
