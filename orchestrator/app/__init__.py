"""Every verb of the command line, without any printing."""

from __future__ import annotations

import contextlib
import json
import os

from orchestrator import __version__
from orchestrator.app.accounting import Accounting
from orchestrator.app.following import Following
from orchestrator.app.operating import Operating
from orchestrator.app.planning import Planning, SubmitOptions
from orchestrator.errors import HomeError
from orchestrator.lifecycle.driver import Driver, count_on, driver_lock
from orchestrator.lifecycle.driver_log import keep_log
from orchestrator.lifecycle.handover import driver_of_home

__all__ = ["App", "SubmitOptions"]


class App(Planning, Following, Accounting, Operating):
    """Every verb of the command line, without any printing."""

    def drive(self, *, stays: bool = False) -> None:
        """Be the background driver of this home until no run is open, or a newer one takes over.

        Args:
            stays: wait for runs, and while another driver lives for its end, as a service does.
        """
        self._home.check_writable()
        keep_log(self._home.folder)
        while True:
            with driver_of_home(
                self._home.folder,
                self._clock,
                __version__,
                take_keys=self._parts.keys.take,
                prepare=self._prepare,
            ) as mine:
                if mine:
                    self._drive(stays=stays)
            if mine or not stays:
                return
            with driver_lock(self._home.folder, waits=True):
                pass  # whoever drove this home has ended

    def _prepare(self) -> None:
        """All that may fail, before a living driver is asked to leave."""
        from orchestrator.app.loading import load_everything

        load_everything()
        self._parts.rehearse()

    def _drive(self, *, stays: bool) -> None:
        from orchestrator.app.loading import Loading

        parts = self._parts
        parts.is_driver = True
        time = count_on(parts.journal, self._clock)
        record = {"version": __version__, "pid": os.getpid(), **time}
        with contextlib.suppress(HomeError):  # a disk may be full: machines go back all the same
            parts.journal.set_meta("driver", json.dumps(record))
        parts.accounts.watchers.append(parts.reaper.return_known)
        driver = Driver(
            parts.journal,
            parts.engine,
            self._clock,
            self._home.folder,
            parts.keys,
            [*parts.chores(), Loading(self._clock).go_on],
            version=__version__,
            stays=stays,
        )
        driver.serve()
