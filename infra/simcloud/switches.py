"""What may be set by name while a cloud runs."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Switches:
    """A provider's own are fields of a subclass."""

    def set(self, name: str, value: object) -> None:
        """Set one by its name. Raises: ValueError."""
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        if name not in kinds:
            raise ValueError(f"no switch {name!r}; known: {', '.join(kinds)}")
        if isinstance(value, list):
            value = tuple(value)
        if kinds[name] is float and isinstance(value, int):
            value = float(value)
        if type(value) is not kinds[name]:
            raise ValueError(f"{name} is {kinds[name].__name__}, not {type(value).__name__}")
        setattr(self, name, value)
