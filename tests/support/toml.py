"""A configuration as TOML: enough of a writer for what tests say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def dumps(document: Mapping[str, Any]) -> str:
    """TOML text of nested dicts and lists; paths are written as strings."""
    return "\n".join(_table((), document)) + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    nested = {key: value for key, value in table.items() if _is_nested(value)}
    yield from (f"{_key(k)} = {_value(v)}" for k, v in table.items() if k not in nested)
    for key, value in nested.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            yield f"[{name}]"
            yield from _table((*path, key), value)
            continue
        for each in value:
            yield f"[[{name}]]"
            yield from _table((*path, key), each)


def _is_nested(value: Any) -> bool:
    """Whether a value gets a header of its own; rules (dicts of one key) stay in line."""
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and all(_is_big(each) for each in value)


def _is_big(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 1


def _key(key: str) -> str:
    return key if key.replace("-", "_").isidentifier() else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # Every JSON string, number and boolean is the same in TOML.
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
