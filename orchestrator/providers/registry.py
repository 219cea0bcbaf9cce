"""Which providers there are. One is imported when it is first built."""

from __future__ import annotations

from importlib import import_module

from orchestrator.errors import UsageError
from orchestrator.providers.base import Provider, ProviderSettings

_FACTORIES = {
    "runpod": "orchestrator.providers.runpod:build",
    "local": "orchestrator.providers.local:build",
}
_SURFACES = {"runpod": ("", "graphql")}


def provider_names() -> tuple[str, ...]:
    """Every provider that can be built, in a fixed order."""
    return tuple(_FACTORIES)


def surfaces(name: str) -> tuple[str, ...]:
    """Which base URLs of a provider can be set: "" is its main one."""
    return _SURFACES.get(name, ())


def build(name: str, settings: ProviderSettings) -> Provider:
    """The provider of that name.

    Raises: UsageError for an unknown name or an unsafe URL; MissingCredentials without a key
    where one is needed.
    """
    if name not in _FACTORIES:
        raise UsageError(f"there is no provider {name}", hint=f"known are {', '.join(_FACTORIES)}")
    module, factory = _FACTORIES[name].split(":")
    provider: Provider = getattr(import_module(module), factory)(settings)
    return provider
