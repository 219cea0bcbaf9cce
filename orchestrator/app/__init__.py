"""Every verb of the command line, without any printing."""

from __future__ import annotations

import logging

from orchestrator.app.accounting import Accounting
from orchestrator.app.following import Following
from orchestrator.app.planning import Planning, SubmitOptions
from orchestrator.lifecycle.driver import Driver

__all__ = ["App", "SubmitOptions"]


class App(Planning, Following, Accounting):
    """Every verb of the command line, without any printing."""

    def drive(self) -> None:
        """Be the background driver of this home until no run is open."""
        self._home.check_writable()
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._parts.accounts.watchers.append(self._parts.reaper.return_known)
        driver = Driver(
            self._parts.journal,
            self._parts.engine,
            self._clock,
            self._home.folder,
            self._parts.keys.take,
            self._parts.chores(),
        )
        driver.serve()
