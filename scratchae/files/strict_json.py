"""JSON from a file that nobody vouches for."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .errors import ScratchaeFormatError

MAX_DEPTH = 200  # of lists and objects in each other
MAX_DIGITS = 300  # of an integer
MAX_LENGTH = 2**20  # of a text: in memory it takes up to 40 times as much


def loads(text: str) -> Any:
    """The value of a JSON text.

    Raises ScratchaeFormatError where it is none, and for what Python's json lets pass or takes long for: names that
    are there twice, NaN and infinity, very long texts, integers of very many digits, and very deep nesting.
    """
    if not isinstance(text, str):
        raise ScratchaeFormatError(f"{text!r:.50} where a JSON text belongs")
    if len(text) > MAX_LENGTH:
        raise ScratchaeFormatError(f"a JSON text of {len(text):,} characters; {MAX_LENGTH:,} is the limit")
    try:
        value = json.loads(
            text, object_pairs_hook=names_once, parse_constant=refuse, parse_int=integer, parse_float=number
        )
    except ScratchaeFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise ScratchaeFormatError(f"no JSON text: {error}") from error
    level, depth = [value], 0
    while level:
        level = [inner for outer in level if isinstance(outer, (list, dict)) for inner in values_of(outer)]
        depth += 1
        if depth > MAX_DEPTH:
            raise ScratchaeFormatError(f"a JSON text nested more than {MAX_DEPTH} deep")
    return value


def values_of(outer: list | dict) -> Any:
    return outer.values() if isinstance(outer, dict) else outer


def names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ScratchaeFormatError("a JSON text with a name that is there twice")
    return found


def integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ScratchaeFormatError(f"a JSON text with an integer of {len(digits):,} digits")
    return int(digits)


def number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        refuse(digits)
    return value


def refuse(name: str) -> NoReturn:
    raise ScratchaeFormatError(f"a JSON text with the number {name[:20]}; expected finite ones")
