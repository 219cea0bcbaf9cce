"""What a run sends to its machine, made from what was recorded at submit.

Secrets travel only where the plan named them: the job's own, and the hub's token for a gated or
private model. A machine of a community host gets none unless the job says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.artifacts.local import HomeStore
from orchestrator.errors import MissingCredentials
from orchestrator.lifecycle.host_keys import new_host_key
from orchestrator.lifecycle.secrets import send_secret
from orchestrator.lifecycle.snapshot import code_entries
from orchestrator.providers.base import GuardWay, MachineRequest, Provider
from orchestrator.remote.bundle import Entry, bytes_entry, file_entry, folder_entries
from orchestrator.remote.code import code_files
from orchestrator.remote.keys import make_key_pair
from orchestrator.remote.render import agent_zipapp, boot_guard
from orchestrator.remote.shell import Shell
from orchestrator.remote.sync import synchronize
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Launch, Run
from orchestrator.spec.job import Job, job_from_document
from orchestrator.spec.programs import load_program
from orchestrator.store.home import run_folder

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True, slots=True)
class RunCargo:
    """Folders and files of the runs of one home."""

    home: Path
    provider: Callable[[str], Provider]
    secret: Callable[[str], str | None]  # value of a named secret, from memory or keyring

    def folder(self, run: Run) -> Path:
        """The run's folder at home."""
        return run_folder(self.home, run.id)

    def request(self, run: Run, lease: Lease) -> MachineRequest:
        """What to rent; the key pair is durable before this returns."""
        keys = make_key_pair(self.folder(run) / "keys")
        guard = ""
        if self.provider(lease.provider).capabilities.guard is GuardWay.START_COMMAND:
            began_s = int(lease.sent_s or 0)
            seconds = max(1, int(lease.deadline_s) - began_s)
            guard = boot_guard(
                lease.label, began_s, int(lease.deadline_s), seconds, ways=lease.provider
            )
        facts = self.provider(lease.provider).capabilities
        private, public = "", ""
        if facts.takes_host_key:
            private, public = new_host_key(self.folder(run), lease.label)
        bid = lease.offer.bid if run.job.get("spot") is True else None
        return MachineRequest(
            label=lease.label,
            offer=lease.offer,
            image=run.launch.image if facts.container_images else "",
            host_private_key=private,
            host_public_key=public,
            disk_gib=run.launch.disk_gib,
            public_key=keys.public_line,
            start_command=guard,
            avoid=_bad_regions(run, lease.provider),
            bid_usd_per_hour=None if bid is None else bid.usd_per_hour,
        )

    def private_key(self, run: Run) -> Path:
        return make_key_pair(self.folder(run) / "keys").private_path

    def ship(self, run: Run, lease: Lease, shell: Shell, keep_going: Callable[[], None]) -> None:
        """Send what the machine does not have yet, then secrets."""
        job = job_from_document(run.job)
        entries = [
            *self._code(run),
            *data_entries(job),
            *self._checkpoint(run),
            bytes_entry(protocol.AGENT, agent_zipapp()),
            bytes_entry(SETTINGS_FILE, _json(settings(run.launch, job))),
            bytes_entry(protocol.RUN_FILE, _json(self.run_file(run, lease, job))),
            bytes_entry(protocol.DEADLINE_FILE, f"{int(lease.deadline_s)}\n".encode()),
        ]
        folders = [protocol.CODE_DIR, protocol.DATA_DIR, protocol.CHECKPOINTS_DIR]
        if run.launch.model_folder:
            entries += folder_entries(protocol.MODEL_DIR, Path(run.launch.model_folder))
        if not run.launch.model_id:  # else the agent fetches it into this folder
            folders.append(protocol.MODEL_DIR)
        synchronize(shell, entries, folders, keep_going)
        self._send_secrets(run.launch.secrets, lease, shell)

    def run_file(self, run: Run, lease: Lease, job: Job) -> dict[str, object]:
        """The agent's orders: to end the machine is among them where it has a way to."""
        can_end = self.provider(lease.provider).capabilities.guard is not GuardWay.NONE
        return {**run_file(run, lease, job), "ends_machine": lease.bills and can_end}

    def _send_secrets(self, names: tuple[str, ...], lease: Lease, shell: Shell) -> None:
        """Raises: MissingCredentials."""
        values: dict[str, str] = {}
        for name in names:
            value = self.secret(name)
            if value is None:
                raise MissingCredentials(
                    f"the job needs the secret {name}, and there is no value for it",
                    hint=f"gpulease login {name}",
                )
            values[name] = value
        if not values:
            return
        send_secret(shell, protocol.SECRETS_FILE, _json(values), in_memory=lease.bills)

    def _checkpoint(self, run: Run) -> list[Entry]:
        """The newest checkpoint at home: there is one where an earlier machine was lost."""
        newest = next(iter(HomeStore(self.folder(run)).checkpoints()), None)
        if newest is None:
            return []
        name = f"{protocol.CHECKPOINTS_DIR}/{newest.folder.name}"
        return folder_entries(name, newest.folder)

    def _code(self, run: Run) -> list[Entry]:
        if run.launch.program:
            return program_entries(run.launch.program)
        return code_entries(self.folder(run))


def _bad_regions(run: Run, provider: str) -> tuple[str, ...]:
    """What failed one machine of a place, such as a registry that it asks too often, fails more."""
    failed = [one for one in run.leases if one.failed_boot_s is not None and one.region]
    return tuple(sorted({one.region for one in failed if one.provider == provider}))


def program_entries(task: str) -> list[Entry]:
    """A program of jobs/ with the folders that it shares, as it lies on a machine."""
    program = load_program(task)
    entries = code_files(program.folder).entries(protocol.CODE_DIR)
    for shared in program.shares:
        entries += code_files(shared).entries(f"{protocol.CODE_DIR}/{shared.name}")
    return entries


def settings(launch: Launch, job: Job) -> dict[str, object]:
    """settings.json of a program of jobs/; paths are relative to that file."""
    data = job.data
    return {
        "task": job.task,
        "method": job.method,
        "model": f"{launch.model_id}@{launch.model_revision}".strip("@"),
        "train": job.train.to_settings(),
        "data": {
            "train": _data_path("train", data.train) if data else None,
            "eval": _data_path("eval", data.eval) if data and data.eval else None,
        },
        "columns": dict(launch.columns),
    }


def run_file(run: Run, lease: Lease, job: Job) -> dict[str, object]:
    """RUN FILE of agent/protocol.py."""
    launch = run.launch
    command: object = list(launch.command)
    if job.code is not None:
        command = job.code.command
    model: dict[str, str] | None = None
    if launch.model_id:
        model = {
            "id": launch.model_id,
            "revision": launch.model_revision,
            "endpoint": launch.model_endpoint,
        }
    return {
        "protocol": protocol.PROTOCOL,
        "run": run.id,
        "label": lease.label,
        "created_at": lease.sent_s,
        "deadline_at": lease.deadline_s,
        "stop_at": lease.stop_s,
        "hold_s": launch.hold_s,
        "keep_s": launch.keep_s,
        "ends_machine": lease.bills,
        "device": run.device,
        "setup": job.setup,
        "requirements": launch.requirements.get(run.device),
        "python": launch.python,
        "model": model,
        "command": command,
        "environment": dict(job.env),
        "checkpoints_every_s": launch.checkpoint_every_s,
        "grace_s": launch.grace_s,
        "upload": _upload(run, job),
        "cost": _cost(run, lease),
    }


def _cost(run: Run, lease: Lease) -> dict[str, float]:
    """What a model card may say of money: the rate, and what was spent on earlier machines."""
    if not lease.bills:
        return {"usd_per_hour": 0.0, "before_usd": 0.0}
    sent_s = lease.sent_s or run.created_s
    earlier = (other.upper_usd(sent_s) for other in run.leases if other.key != lease.key)
    rate = max(lease.usd_per_hour, lease.offer.price.usd_per_hour)
    return {"usd_per_hour": float(rate), "before_usd": float(sum(earlier))}


def _upload(run: Run, job: Job) -> dict[str, object] | None:
    if not run.launch.bucket:
        return None
    every_s = min(30.0, max(5.0, run.launch.checkpoint_every_s / 2))
    return {"keep": list(job.artifacts.keep), "every_s": every_s}


def data_entries(job: Job) -> list[Entry]:
    """The job's data files, as they lie on a machine."""
    if job.data is None:
        return []
    files = [("train", job.data.train), ("eval", job.data.eval)]
    return [file_entry(_data_path(part, path), path) for part, path in files if path is not None]


def _data_path(part: str, path: Path) -> str:
    return f"{protocol.DATA_DIR}/{part}{path.suffix}"


def _json(record: object) -> bytes:
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
