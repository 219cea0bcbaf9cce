"""Vast's filters: `{"field": {"op": value}}`, all of them at once, for offers and instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from infra.simcloud.web import Json

Row = Mapping[str, Json]


class BadFilter(ValueError):
    """It is not a filter; the text says why, as Vast words it."""


def keep(row: Row, filters: Mapping[str, Json]) -> bool:
    """Whether a row passes every filter. Raises: BadFilter.

    >>> keep({"num_gpus": 2}, {"num_gpus": {"gte": 1, "lt": 4}})
    True
    """
    return all(_passes(row.get(name), tests) for name, tests in filters.items())


def check(filters: Mapping[str, Json]) -> None:
    """Raises: BadFilter."""
    for tests in filters.values():
        if not isinstance(tests, dict):
            raise BadFilter(f"{tests} is not a valid search op")
        for op, value in tests.items():
            if op not in _OPS:
                raise BadFilter(f"{op} is not a valid search op")
            if op in ("in", "notin") and not isinstance(value, list):
                raise BadFilter(f"{op} wants a list")


def ordered(rows: list[dict[str, Json]], order: list[tuple[str, bool]]) -> list[dict[str, Json]]:
    """Rows in this order of fields, each with whether it goes down; what is unknown comes last."""
    for field, goes_down in reversed(order):
        known = [row for row in rows if row.get(field) is not None]
        unknown = [row for row in rows if row.get(field) is None]
        known.sort(key=lambda row: _sortable(row[field]), reverse=goes_down)
        rows = known + unknown
    return rows


def _sortable(value: Json) -> tuple[int, float, str]:
    if isinstance(value, bool | int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _passes(value: Json, tests: Json) -> bool:
    assert isinstance(tests, dict)
    return all(_OPS[op](value, _like(value, wanted)) for op, wanted in tests.items())


def _like(value: Json, wanted: Json) -> Json:
    """What is wanted of a number, as a number: the command line (1.9.1) sends text."""
    if isinstance(wanted, list):
        return [_like(value, one) for one in wanted]
    if isinstance(value, int | float) and isinstance(wanted, str):
        try:
            return float(wanted)
        except ValueError:
            return wanted
    return wanted


def _less(one: Json, other: Json) -> bool:
    """Whether both can be compared, and `one` is less."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one < other
    return isinstance(one, str) and isinstance(other, str) and one < other


def _is_in(value: Json, wanted: Json) -> bool:
    return isinstance(wanted, list) and value in wanted


_OPS: dict[str, Callable[[Json, Json], bool]] = {
    "eq": lambda value, wanted: value == wanted,
    "neq": lambda value, wanted: value != wanted,
    "gt": lambda value, wanted: _less(wanted, value),
    "gte": lambda value, wanted: _less(wanted, value) or (value == wanted and value is not None),
    "lt": _less,
    "lte": lambda value, wanted: _less(value, wanted) or (value == wanted and value is not None),
    "in": _is_in,
    "notin": lambda value, wanted: not _is_in(value, wanted),
}
