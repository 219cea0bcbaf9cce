"""What is uncertain about the real service, or tedious in a test, as switches."""

from __future__ import annotations

from dataclasses import dataclass, fields

POD_KEY_WAYS = ("v2", "delete", "graphql")


@dataclass(slots=True)
class Switches:
    """The careful reading of the facts is the default."""

    page_size: int = 1000  # most rows of one page
    pod_key_ways: tuple[str, ...] = ("v2", "graphql")  # how a pod may end itself: POD_KEY_WAYS
    later_fields: bool = True  # `cmd`, `entrypoint`, … which the August description lacks
    graphql_gone: bool = False
    v1_gone: bool = True
    calls_per_minute: int = 0  # to v2, that an account may make; 0: they are only counted
    says_pages: bool = True  # a list that is one page has `pagination` too
    clusters: tuple[str, ...] = ()  # names of pods that are members of an Instant Cluster
    refuses_urllib: bool = False  # the edge answers Python-urllib with a page of its own
    billing_lag_s: float = 300.0

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
