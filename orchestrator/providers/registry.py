"""Which providers there are. One is imported when it is first built."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module

from orchestrator.errors import UsageError
from orchestrator.providers.base import Provider, ProviderSettings
from orchestrator.providers.doubts import Doubt

_FACTORIES = {
    "runpod": "orchestrator.providers.runpod:build",
    "vast": "orchestrator.providers.vast:build",
    "lambda": "orchestrator.providers.lambda_cloud:build",
    "paperspace": "orchestrator.providers.paperspace:build",
    "local": "orchestrator.providers.local:build",
    "ssh_host": "orchestrator.providers.ssh_host:build",
}
OWN_HOSTS = "ssh_host"  # each host of the config file is an account: ssh_host:NAME
_DOUBTS = {
    "runpod": "orchestrator.providers.runpod.doubts",
    "vast": "orchestrator.providers.vast.doubts",
    "lambda": "orchestrator.providers.lambda_cloud.doubts",
    "paperspace": "orchestrator.providers.paperspace.doubts",
}
_SURFACES = {"runpod": ("", "graphql"), "vast": ("",), "lambda": ("",), "paperspace": ("",)}


def provider_names() -> tuple[str, ...]:
    """Every provider that can be built, in a fixed order."""
    return tuple(_FACTORIES)


def to_accounts(words: Iterable[str], hosts: Collection[str]) -> list[str]:
    """Words of a job or a command line as accounts: `ssh_host` stands for every host.

    Raises: UsageError for a host that the config file does not name.

    >>> to_accounts(["runpod", "ssh_host"], ["tower", "attic"])
    ['runpod', 'ssh_host:tower', 'ssh_host:attic']
    """
    accounts: list[str] = []
    for word in words:
        kind, _, host = word.partition(":")
        if kind != OWN_HOSTS:
            accounts.append(word)
        elif host in hosts or (hosts and not host):
            accounts += [f"{OWN_HOSTS}:{name}" for name in ([host] if host else hosts)]
        else:
            named = f"no host {host}" if host else "no hosts"
            raise UsageError(
                f"the config file has {named}",
                hint=f"known are {', '.join(hosts)}" if hosts else "add [hosts.NAME] to it: README",
            )
    return list(dict.fromkeys(accounts))


def surfaces(name: str) -> tuple[str, ...]:
    """Which base URLs of a provider can be set: "" is its main one."""
    return _SURFACES.get(name, ())


def doubts(name: str) -> tuple[Doubt, ...]:
    """What a provider's documents leave open, the riskiest first; empty where nothing is known."""
    if (module := _DOUBTS.get(name.partition(":")[0])) is None:
        return ()
    found: tuple[Doubt, ...] = import_module(module).DOUBTS
    return found


def build(name: str, settings: ProviderSettings) -> Provider:
    """The provider of that name, which may be an account's: `ssh_host:tower`.

    Raises: UsageError for an unknown name or an unsafe URL; MissingCredentials without a key
    where one is needed.
    """
    kind = name.partition(":")[0]
    if kind not in _FACTORIES:
        raise UsageError(f"there is no provider {name}", hint=f"known are {', '.join(_FACTORIES)}")
    module, factory = _FACTORIES[kind].split(":")
    provider: Provider = getattr(import_module(module), factory)(settings)
    return provider
