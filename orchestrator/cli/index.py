"""Every command with its group and first sentence; nothing here imports a command."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command: `orchestrator.cli.commands.<module>` holds a function of the module's name."""

    name: str
    summary: str
    group: str = ""  # "" = hidden


_START = "Start"
_RUN = "Run a job"
_WATCH = "Watch it  (RUN: the start of an id, a name, or `last`)"
_END = "Act on it"
_ACCOUNTS = "Machines and accounts"

COMMANDS = (
    Entry("init", "write a commented job file to fill in", _START),
    Entry("login", "keep a provider's key in the keyring", _START),
    Entry("schema", "JSON Schema of job files, for editors", _START),
    Entry("completion", "print what the Tab key of bash, zsh or fish needs", _START),
    Entry("doctor", "check every prerequisite, each with its fix", _START),
    Entry("check", "validate a job and its data; spends nothing", _RUN),
    Entry("size", "memory by part, FLOPs, which GPUs have room", _RUN),
    Entry("plan", "ranked offers, forecast, cap, guards; spends nothing", _RUN),
    Entry("submit", "rent, ship, train, bring home, give back", _RUN),
    Entry("ps", "the open runs, and with --all the ended ones", _WATCH),
    Entry("show", "everything known about one run", _WATCH),
    Entry("attach", "follow a run again, from where its log stood", _WATCH),
    Entry("logs", "print the program's log; -f follows it", _WATCH),
    Entry("receipt", "how a run ended: proof of return, cost, artifacts", _WATCH),
    Entry("cancel", "save, collect and return the machine; --now loses work", _END),
    Entry("pull", "fetch what is not home yet, and copy it", _END),
    Entry("ssh", "log in to the run's machine", _END),
    Entry("close", "declare a machine gone that you saw gone", _END),
    Entry("offers", "live offers with their full price", _ACCOUNTS),
    Entry("machines", "every machine, whose it is, what it burns", _ACCOUNTS),
    Entry("reap", "find forgotten machines; --delete returns them", _ACCOUNTS),
    Entry("ledger", "what a month has cost, by day and by run", _ACCOUNTS),
    Entry("reconcile", "our figures against the providers' own bills", _ACCOUNTS),
    Entry("driver", "be the background driver of this home"),
    Entry("webhook", "the JSON Schema of what a webhook is sent"),
)
BY_NAME = {entry.name: entry for entry in COMMANDS}
GROUPS = tuple(dict.fromkeys(entry.group for entry in COMMANDS if entry.group))
