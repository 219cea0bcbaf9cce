"""What `check` and `doctor` find. Spends nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.errors import GpuleaseError, SpecError
from orchestrator.lifecycle.accounts import Accounts, Snapshot
from orchestrator.lifecycle.balance import balances
from orchestrator.lifecycle.driver import driver_lives
from orchestrator.lifecycle.plan import Material
from orchestrator.lifecycle.sending import in_words, parts_of, secrets_sent, too_large
from orchestrator.providers.base import Witness
from orchestrator.remote.code import IGNORE_FILE
from orchestrator.spec.data import DataReport, check_data
from orchestrator.spec.job import Job
from orchestrator.store.home import Home

Finding = tuple[str, bool | None, str, str]


def check_job(
    job: Job, prepare: Callable[[Job], Material], private: Sequence[Path] = ()
) -> list[Finding]:
    """Data, labels, model, tokenizer, memory, and the size of what would be sent."""
    findings: list[Finding] = [("spec", True, f"{job.kind} {job.name}", "")]
    if job.code is not None:
        parts = parts_of(job, private)
        fix = too_large(parts)
        findings.append(("sent", None if fix else True, in_words(parts), fix))
        if secret := secrets_sent(job, private):
            fix = f"name it in {IGNORE_FILE}; `secrets:` of the job gives it without a file"
            findings.append(("secrets", None, secret, fix))
    if job.data is not None and job.code is None:
        report = check_data(job)
        findings += [("data", False, problem, "") for problem in report.problems]
        findings += [("data", None, warning, "") for warning in report.warnings]
        if not report.problems:
            rows = f"{report.train_rows} rows to train on, {report.eval_rows} to evaluate on"
            findings.append(("data", True, f"{rows}, {report.size_bytes / 2**20:.1f} MiB", ""))
            findings.append(_shape_of(report))
        else:
            return findings
    try:
        material = prepare(job)
    except SpecError as error:
        return [*findings, *(("model", False, problem, error.hint) for problem in error.problems)]
    except GpuleaseError as error:
        return [*findings, ("model", False, error.problem, error.hint)]
    told = {found for _, _, found, _ in findings}
    what = "tokens" if job.code is None else "time"
    findings += [(what, None, one, "") for one in material.warnings if one not in told]
    if material.sizing:
        findings.append(
            ("model", True, (material.job.model and material.launch.model_id) or "", "")
        )
        findings += [("size", True, f"{part}: {figure}", "") for part, figure in material.sizing]
    return findings


def _shape_of(report: DataReport) -> Finding:
    if report.layout:
        columns = ", ".join(f"{role} from {name}" for role, name in report.roles.items())
        return ("format", True, f"{report.layout}: {columns}", "")
    labels = ", ".join(f"{one.label} {one.train_rows}" for one in report.labels[:10])
    return ("labels", True, f"{len(report.labels)}: {labels}", "")


def check_computer(
    home: Home, accounts: Accounts, providers: list[str], clock: Clock
) -> list[Finding]:
    """Every prerequisite of this computer, with its fix."""
    free_gib = shutil.disk_usage(home.folder).free / 2**30
    findings: list[Finding] = [
        _home_of(home),
        ("disk", free_gib > 5, f"{free_gib:.0f} GiB free at home", "make room"),
        on_local_disk(home.folder),
    ]
    for name, why in (("ssh", "bulk transfers"), ("tar", "sending code"), ("git", "ignore rules")):
        path = shutil.which(name)
        fix = f"install {name}: needed for {why}"
        findings.append(
            (
                name,
                path is not None or (None if name == "git" else False),
                path or "not found",
                "" if path else fix,
            )
        )
    lives = driver_lives(home.folder)
    findings.append(("driver", True, "lives" if lives else "not needed now", ""))
    if not providers:
        findings.append(("keys", None, "no provider has a key", "gpulease login runpod"))
    for name in providers:
        try:
            snapshot = accounts.snapshot(name)
        except GpuleaseError as error:
            findings.append((name, False, error.problem, error.hint))
            continue
        burn = sum(machine.usd_per_hour for machine in snapshot.machines)
        words = f"{len(snapshot.machines)} machines, ${burn:.2f}/h{_left(accounts, name)}"
        findings.append((name, True, words, "gpulease machines" if snapshot.machines else ""))
        findings += _by_witness(name, accounts, snapshot)
    return findings


def _left(accounts: Accounts, name: str) -> str:
    """What the account holds, where a provider says so as a rule."""
    if not accounts.provider(name).capabilities.tells_balance:
        return ""
    known = balances(accounts, [name])
    return f", ${known[name]:.2f} left" if known else ", its balance cannot be read now"


def _by_witness(name: str, accounts: Accounts, snapshot: Snapshot) -> list[Finding]:
    """Whether the provider's own client, where it is installed, sees the same machines."""
    provider = accounts.provider(name)
    if not isinstance(provider, Witness):
        return []
    what = f"{name}, own client"
    try:
        seen = provider.second_list()
    except GpuleaseError as error:
        return [(what, None, error.problem, "")]
    if seen is None:
        return []
    ours = {machine.id for machine in snapshot.machines}
    if seen == ours:
        return [(what, True, f"sees the same {len(seen)} machines", "")]
    if missed := sorted(seen - ours):
        fix = "look at the provider's console: these may bill, and gpulease does not see them"
        return [(what, False, f"also sees {', '.join(missed)}", fix)]
    return [(what, None, f"does not see {', '.join(sorted(ours - seen))}", "ask again in a minute")]


def check_webhook(url: str, secret: str | None) -> Finding:
    """Whether the webhook of the config file can be told something; nothing is sent."""
    from urllib.parse import urlsplit

    from orchestrator.notify.webhook import SECRET_NAME, make_webhook, new_secret

    host = urlsplit(url).hostname or ""
    try:
        webhook = make_webhook(url, secret)
    except GpuleaseError as error:
        return ("webhook", False, error.problem, error.hint)
    fix = f"gpulease login {SECRET_NAME}, with for example {new_secret()}"
    return ("webhook", True, host, "") if webhook.key else ("webhook", None, "not signed", fix)


def _home_of(home: Home) -> Finding:
    of = f", a copy of that of {home.owner}" if home.is_copy else ""
    return (
        "home",
        not home.is_copy,
        f"{home.folder} (id {home.id}{of})",
        "use another GPULEASE_HOME",
    )


def on_local_disk(folder: Path, mounts_file: Path = Path("/proc/mounts")) -> Finding:
    """SQLite's locks are not to be trusted on network file systems."""
    kind = ""
    try:
        mounts = [line.split()[1:3] for line in mounts_file.read_text().splitlines()]
        inside = [(len(at), kind) for at, kind in mounts if folder.is_relative_to(at)]
        kind = max(inside)[1] if inside else ""
    except OSError:
        return ("file system", None, "unknown", "")
    remote = kind.startswith(("nfs", "cifs", "smb", "fuse.sshfs", "9p", "glusterfs"))
    return ("file system", not remote, kind, "put GPULEASE_HOME on a local disk" if remote else "")
