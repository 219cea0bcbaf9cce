"""Two workspaces of one provider, known by their keys alone, and a process that has both keys."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.keys import Keys
from orchestrator.providers.base import GuardWay, Provider
from tests.lifecycle.steps.harness import CAPABILITIES, Cloud, Stage

_UNGUARDED = replace(CAPABILITIES, guard=GuardWay.NONE)
_NAME = "LAMBDA_API_KEY"


class TwoKeys:
    """The clouds `a` and `b` behind one provider's name; `a` is asked first."""

    def __init__(self, stage: Stage, *given: str) -> None:
        self.a = Cloud(stage.clock, account="key:aa", capabilities=_UNGUARDED)
        self.b = Cloud(stage.clock, account="key:bb", capabilities=_UNGUARDED)
        self.keys = Keys(lambda _: None)
        for key in given or ("a", "b"):
            self.give(key)
        self.accounts = Accounts(self._build, stage.clock, lambda _: self.keys.refused(_NAME))
        stage.world.accounts = self.accounts
        stage.cloud = self.a

    def give(self, key: str) -> None:
        """A person hands over another key."""
        self.keys.take({_NAME: key})

    def exchange(self) -> None:
        """Another run was refused under the key in use."""
        self.accounts.forget("runpod")

    def _build(self, name: str) -> Provider:
        return self.a if self.keys.get(_NAME) == "a" else self.b
