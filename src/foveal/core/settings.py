"""Settings as frozen dataclasses: checked when they come from outside, plain when they leave."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from foveal.core.errors import FovealError, OutOfRange, UnknownName

S = TypeVar("S")


def from_mapping(kind: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Build the dataclass ``kind`` from JSON-like ``values`` that a person or file gave.

    Args:
        kind: a dataclass; its own ``__post_init__`` checks ranges.
        values: field name -> value; fields that are missing keep their defaults.
        where: what is being read, for the message: a file name, or ``"the request"``.

    Raises:
        UnknownName: for a field that the record does not have, with the nearest one.
        OutOfRange: for a value of the wrong type or range.
    """
    from pydantic import TypeAdapter, ValidationError

    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # any dataclass
    for name in values:
        if name not in names:
            raise UnknownName(f"setting of {where}", name, names)
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or where
        raise OutOfRange(
            field, first.get("input"), f"{_expected(first['msg'])} (in {where})"
        ) from None


def _expected(message: str) -> str:
    """Return what pydantic expects, as the end of a sentence.

    >>> _expected("Input should be a valid number, unable to parse string as a number")
    'a valid number'
    >>> _expected("Value error, no path")
    'something else: Value error, no path'
    """
    wanted = message.removeprefix("Input should be ")
    return f"something else: {message}" if wanted == message else wanted.partition(", unable")[0]


def to_mapping(record: object) -> dict[str, Any]:
    """Return a settings record as JSON-ready values; tuples become lists, paths strings."""
    from pydantic_core import to_jsonable_python

    values = dataclasses.asdict(record)  # type: ignore[call-overload]  # any dataclass
    plain: dict[str, Any] = to_jsonable_python(values)
    return plain


def read_json(content: bytes, *, where: str) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        FovealError: if it is not JSON, or not an object.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FovealError(f"{where} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise FovealError(f"{where} does not hold a JSON object.")
    return value


def to_json(values: Mapping[str, Any]) -> bytes:
    """Return ``values`` as JSON for a file: keys as given, two spaces, one newline at the end.

    NaN and infinity are refused (they are not JSON): say ``None`` for "there is no number".
    A file name that is no Unicode keeps its bytes as JSON's own escapes, and reads back the same.
    """
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")
