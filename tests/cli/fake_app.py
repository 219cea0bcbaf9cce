"""An App without clouds, and sample views; the command line's tests talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from orchestrator.app import App, SubmitOptions
from orchestrator.app.operating import ServiceFile
from orchestrator.errors import UsageError
from orchestrator.lifecycle.drill import drill_job
from orchestrator.lifecycle.size import SizeView, SizeWish, size_model
from orchestrator.providers.doubts import Doubt
from orchestrator.remote.code import Explained
from orchestrator.runs.view import (
    LedgerLineView,
    LedgerView,
    MachineView,
    OfferView,
    PlanView,
    ReconcileView,
    RunView,
)
from orchestrator.sizing.hub import ModelFacts
from orchestrator.sizing.shape import Shape
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need

LABEL = "gl1-abc123-runid123-01-tgg5c0-tgg84c"
OFFER: OfferView = {
    "id": "NVIDIA GeForce RTX 4090 x1 SECURE",
    "provider": "runpod",
    "gpu": "RTX 4090",
    "gpu_count": 1,
    "gpu_memory_gib": 24.0,
    "usd_per_hour": "0.69",
    "region": "EU-RO-1",
    "trust": "secure",
    "stock": "high",
    "forecast": {"cost_usd": ["0.09", "0.21"], "hours": [0.13, 0.3]},
    "deadline_hours": 0.9,
    "guard": "plausible",
}
PLAN: PlanView = {
    "schema": 1,
    "name": "tickets",
    "kind": "finetune",
    "need": {"gpu_memory_gib": 2.5, "gpu_count": 1, "disk_gib": 20, "providers": ["runpod"]},
    "sizing": [("weights", "0.09 GiB"), ("optimizer", "0.17 GiB")],
    "offers": [
        OFFER,
        {**OFFER, "gpu": "L40S", "gpu_memory_gib": 48.0, "usd_per_hour": "0.86", "stock": ""},
    ],
    "refused": [
        {
            "id": "x",
            "provider": "runpod",
            "gpu": "A2",
            "usd_per_hour": "0.06",
            "reason": "compute capability 8.6, needed: 8.9",
        }
    ],
    "relaxation": "",
    "cap_usd": "2.00",
    "suggested_cap_usd": "0.27",
    "deadline_hours": 0.9,
    "reserve_usd": "0.41",
    "worst_usd": "1.92",
    "guards": ["the machine ends itself at its deadline (plausible: not drilled yet)"],
    "sends": [
        {"path": "data/", "files": 12, "size_bytes": 3_250_586},
        {"path": "train.py", "files": 1, "size_bytes": 2048},
    ],
    "artifacts": ["home: about 0.2 GiB, 100 GiB free"],
    "warnings": ["if this computer is off when the job ends, results wait 30 min, then are lost"],
    "start_by": "2027-01-15T08:15:00Z",
    "waits": False,
}
RUN: RunView = {
    "schema": 1,
    "run": "runid123",
    "name": "tickets",
    "kind": "finetune",
    "state": "ended",
    "outcome": "succeeded",
    "exit_code": 0,
    "provider": "runpod",
    "offer": OFFER,
    "cap_usd": "2.00",
    "spent_upper_usd": "0.131",
    "cost_usd": "0.128",
    "billed_usd": None,
    "forecast": {"cost_usd": ["0.09", "0.21"], "hours": [0.13, 0.3]},
    "phases_s": {"rent": 2.0, "boot": 31.4, "ship": 3.1, "setup": 41.0, "job": 588.0},
    "progress": {"step": 300, "steps": 300, "loss": 0.0412},
    "metrics": {"eval_accuracy": 0.9712, "majority_class_accuracy": 0.25, "eval_f1": 0.9694},
    "losses": [(float(step), 1.4 * 0.985**step) for step in range(0, 301, 10)],
    "device": "cpu",
    "machines": [
        {
            "label": LABEL,
            "id": "pod-1",
            "provider": "runpod",
            "gpu": "RTX 4090",
            "price_usd_per_hour": "0.69",
            "cost_usd": "0.13",
            "spot": False,
            "reclaimed_at": None,
            "why_ended": "the job is over",
            "account_balance_usd": None,
            "handed_to": "",
            "returned": {"proven": True, "by": "provider", "at": "2027-01-15T08:12:00Z"},
        }
    ],
    "returned": {"proven": True, "by": "provider", "at": "2027-01-15T08:12:00Z"},
    "guard": "plausible",
    "host_key_by": "boot log",
    "artifacts": [
        {"path": "model/model.safetensors", "size_bytes": 90_868_376, "sha256": "ab" * 32},
        {"path": "metrics.json", "size_bytes": 212, "sha256": "cd" * 32},
    ],
    "artifacts_dir": "artifacts/tickets",
    "artifacts_at": "",
    "artifacts_missing": [],
    "log": "runs/runid123/log.txt",
    "error": None,
    "waiting": "",
    "notes": [],
    "burn_usd_per_hour": "0",
    "created_at": "2027-01-15T08:00:00Z",
    "deadline_at": "2027-01-15T08:54:00Z",
    "kept_until": None,
    "ended_at": "2027-01-15T08:12:05Z",
}
MACHINE: MachineView = {
    "provider": "runpod",
    "id": "pod-9",
    "label": LABEL,
    "whose": "orphan",
    "run": "runid123",
    "status": "running",
    "gpu": "RTX 4090",
    "usd_per_hour": "0.69",
    "age_hours": 3.25,
    "deadline": "2027-01-15T08:54:00Z",
    "note": "its lease is closed",
}
RECONCILED: ReconcileView = {
    "schema": 1,
    "month": "2027-01",
    "machines": [
        {
            "machine": "7h9k2m4n6p",
            "provider": "runpod",
            "runs": ["runid123"],
            "names": ["tickets"],
            "estimate_usd": "10.20",
            "billed_usd": "10.25",
            "drift_usd": "0.05",
            "differs": True,
            "why": "",
        },
        {
            "machine": "8j",
            "provider": "runpod",
            "runs": ["runid124", "runid125"],
            "names": ["first", "again"],
            "estimate_usd": "0.20",
            "billed_usd": None,
            "drift_usd": None,
            "differs": False,
            "why": "its bill is complete in about 9 min",
        },
    ],
    "runs": [
        {
            "run": "runid123",
            "name": "tickets",
            "machines": 1,
            "shared": 0,
            "estimate_usd": "10.20",
            "billed_usd": "10.25",
            "drift_usd": "0.05",
            "differs": True,
            "why": "",
        },
        {
            "run": "runid124",
            "name": "first",
            "machines": 2,
            "shared": 1,
            "estimate_usd": "0.14",
            "billed_usd": None,
            "drift_usd": None,
            "differs": False,
            "why": "its bill is complete in about 9 min",
        },
    ],
    "others": [
        {"provider": "runpod", "machines": 2, "billed_usd": "3.00"},
        {"provider": "vast", "machines": 1, "billed_usd": None},
    ],
    "failures": ["lambda: no answer"],
}

LEDGER: LedgerView = {
    "schema": 1,
    "month": "2027-01",
    "spent_usd": "12.50",
    "open_usd": "0.31",
    "committed_usd": "1.92",
    "limit_usd": "100.00",
    "days": [("2027-01-03", "2.25"), ("2027-01-14", "10.25")],
    "runs": [
        {
            "run": "runid123",
            "name": "tickets",
            "outcome": "succeeded",
            "provider": "runpod",
            "gpu": "RTX 4090",
            "machines": 2,
            "spent_upper_usd": "12.50",
            "cost_usd": "12.31",
            "created_at": "2027-01-15T08:00:00Z",
        }
    ],
    "open_runs": ["runid456"],
}


def run_view(**changes: object) -> RunView:
    """The sample run with some of its fields changed."""
    return cast(RunView, {**deepcopy(RUN), **changes})


def open_view(state: str = "running", **changes: object) -> RunView:
    """The sample run while it is open."""
    working: dict[str, object] = {
        "state": state,
        "outcome": None,
        "exit_code": None,
        "metrics": {},
        "artifacts": [],
        "kept_until": None,
        "ended_at": None,
        "burn_usd_per_hour": "0.69",
        "progress": {"step": 40, "steps": 300, "loss": 0.7, "eta_s": 75.0},
        "returned": {"proven": False, "at": None},
        "losses": [(0.0, 1.4), (20.0, 1.0), (40.0, 0.7)],
    }
    view = run_view(**{**working, **changes})
    view["machines"][0]["returned"] = {"proven": False, "at": None}
    return view


FACTS = ModelFacts(
    id="org/llama-8b",
    revision="a" * 40,
    parameters={"BF16": 8_030_261_248},
    is_estimate=False,
    shape=Shape(4096, 32, 14336, 128256, 1024, 8192, tied=False),
    model_type="llama",
    architectures=("LlamaForCausalLM",),
    weight_bytes=16_060_522_496,
    download_bytes=16_070_000_000,
    tokenizer_file="tokenizer.json",
)


def plan_view(**changes: object) -> PlanView:
    return cast(PlanView, {**deepcopy(PLAN), **changes})


class FakeApp(App):
    """Answers from its attributes; an error put under a method's name is raised by it."""

    def __init__(self) -> None:
        self.plan_view = plan_view()
        self.views = [open_view("booting"), open_view("running"), run_view()]
        self.last = run_view()
        self.log = ["first", "second", "third"]
        self.machines_found: list[MachineView] = [MACHINE]
        self.failures: list[str] = []
        self.findings: list[tuple[str, bool | None, str, str]] = [
            ("data", True, "120 rows, 4 labels", ""),
            ("model", None, "the hub was not asked", "set HF_TOKEN"),
        ]
        self.errors: dict[str, BaseException] = {}
        self.calls: list[tuple[str, Any]] = []
        self.is_new = True

    def _note(self, name: str, *arguments: object) -> None:
        self.calls.append((name, arguments[0] if len(arguments) == 1 else arguments))
        if error := self.errors.get(name):
            raise error

    def called(self, name: str) -> list[Any]:
        """What the method was called with, once per call."""
        return [arguments for called, arguments in self.calls if called == name]

    def offers(self, need: Need, providers: list[str]) -> tuple[list[OfferView], list[str]]:
        self._note("offers", need, providers)
        return self.plan_view["offers"], self.failures

    def check(
        self, job: Job, rehearsal: Callable[[str], None] | None = None
    ) -> list[tuple[str, bool | None, str, str]]:
        self._note("check", job)
        if rehearsal is None:
            return self.findings
        rehearsal("first batch: training it on this CPU")
        return [*self.findings, ("first batch", True, "one step", "")]

    def explain(self, job: Job, path: str) -> Explained:
        self._note("explain", job, path)
        return Explained(path, False, ".gitignore:3: *.npy")

    def size(self, model: str, wish: SizeWish) -> SizeView:
        self._note("size", model, wish)
        return size_model(FACTS, wish)

    def plan_drill(self, provider: str) -> tuple[Job, PlanView]:
        self._note("plan_drill", provider)
        return drill_job(provider, Path("/nowhere")), self.plan_view

    def plan(
        self, job: Job, *, wait_s: float = 0.0, keep_s: float = 0.0, reuse: str = ""
    ) -> PlanView:
        self._note("plan", job, wait_s, keep_s, reuse)
        plan = plan_view(**{**self.plan_view, "waits": wait_s > 0})
        if job.budget.max_cost_usd is not None:
            plan = plan_view(**{**plan, "cap_usd": str(job.budget.max_cost_usd)})
        return plan

    def submit(self, job: Job, plan: PlanView, options: SubmitOptions) -> tuple[str, bool]:
        self._note("submit", job, plan, options)
        return "runid123", self.is_new

    def follow(self, run_id: str) -> Iterator[RunView]:
        for view in self.views:
            yield view
            self._note("follow", run_id)

    def log_lines(self, run_id: str, *, follow: bool, offset: int = 0) -> Iterator[tuple[int, str]]:
        self._note("log_lines", run_id, follow, offset)
        yield from enumerate(self.log[offset:], offset + 1)

    def find(self, reference: str, *, for_change: bool = False) -> str:
        self._note("find", reference, for_change)
        if reference not in ("last", "tickets", "runid123", "run"):
            raise UsageError(f"no run {reference!r}", hint="gpulease ps --all")
        return "runid123"

    def runs(self, *, all_runs: bool) -> list[RunView]:
        self._note("runs", all_runs)
        return self.views

    def view(self, run_id: str) -> RunView:
        self._note("view", run_id)
        return self.last

    def cancel(self, run_id: str, *, now: bool) -> RunView:
        self._note("cancel", run_id, now)
        return self.views[0]

    def close_seen_gone(self, run_id: str) -> RunView:
        self._note("close_seen_gone", run_id)
        return run_view(exit_code=7, returned={"proven": False, "by": "user", "at": None})

    def pull(self, run_id: str, destination: Path | None) -> RunView:
        self._note("pull", run_id, destination)
        return self.last

    def ssh_command(self, run_id: str) -> list[str]:
        self._note("ssh_command", run_id)
        return ["echo", "ssh to", run_id]

    def machines(self) -> tuple[list[MachineView], list[str]]:
        self._note("machines")
        return self.machines_found, self.failures

    def reap(
        self, *, delete: bool, past_deadline: bool, report: Callable[[str], None]
    ) -> tuple[list[MachineView], list[str]]:
        self._note("reap", delete, past_deadline)
        report("runpod: 1 machine")
        return self.machines_found, self.failures

    def verify_key(self, name: str, key: str) -> tuple[str, str]:
        self._note("verify_key", name, key)
        return "user:u1", "$12.00"

    def doubts(self) -> list[tuple[str, Doubt]]:
        self._note("doubts")
        return [("runpod", Doubt("quota", "how many calls?", "60 a minute"))]

    def doctor(self) -> list[tuple[str, bool | None, str, str]]:
        self._note("doctor")
        return self.findings

    def ledger(self, month: str | None) -> LedgerView:
        self._note("ledger", month)
        return LEDGER

    def reconcile(self, month: str | None) -> ReconcileView:
        self._note("reconcile", month)
        return RECONCILED

    def ledger_lines(self, month: str | None) -> list[LedgerLineView]:
        self._note("ledger_lines", month)
        line: LedgerLineView = {
            "at": "2027-01-14T08:12:00Z",
            "run": "runid123",
            "name": "tickets, \x1b[2Jagain",
            "kind": "accrued",
            "usd": "10.25",
            "label": LABEL,
            "note": "",
        }
        return [line]

    def drive(self, *, stays: bool = False) -> None:
        self._note("drive", stays)

    def service_file(self) -> ServiceFile:
        return ServiceFile(Path("/home/ada/a.service"), "[Unit]\nA=1\n", (), ())

    def install_driver(self) -> tuple[Path, list[str]]:
        self._note("install_driver")
        return Path("/home/ada/a.service"), ["it ends with your last login"]

    def uninstall_driver(self) -> Path | None:
        self._note("uninstall_driver")
        return None

    def month_usd(self) -> tuple[Decimal, Decimal, Decimal]:
        return Decimal("12.5"), Decimal("1.92"), Decimal(100)
