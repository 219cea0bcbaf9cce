from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import BadCredentials, MissingCredentials, ProviderDown, SpecError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.checkup import (
    Finding,
    check_computer,
    check_job,
    check_webhook,
    on_local_disk,
)
from orchestrator.lifecycle.driver import driver_lock
from orchestrator.lifecycle.plan import Material
from orchestrator.notify.webhook import new_secret
from orchestrator.spec.job import Job
from orchestrator.store.home import open_home
from tests.lifecycle.clouds import Bank, SmallCloud, machine
from tests.lifecycle.jobs import material, own_code, tickets, tickets_with_two_slips


def of(findings: list[Finding], what: str) -> list[tuple[bool | None, str]]:
    return [(ok, found) for name, ok, found, _ in findings if name == what]


def computer(home: Path, clouds: dict[str, SmallCloud]) -> list[Finding]:
    clock = FakeClock()
    accounts = Accounts(lambda name: clouds[name], clock)
    return check_computer(open_home(home), accounts, list(clouds), clock)


def test_a_good_job_shows_its_rows_and_labels(tmp_path: Path) -> None:
    findings = check_job(tickets(tmp_path), material)

    assert of(findings, "spec") == [(True, "finetune tickets")]
    assert of(findings, "data")[-1][1].startswith("6 rows to train on, 6 to evaluate on")
    assert of(findings, "labels") == [(True, "2: a 3, b 3")]
    assert all(ok is not False for _, ok, _, _ in findings)


def test_bad_data_is_told_in_full_and_the_model_is_not_asked_for(tmp_path: Path) -> None:
    def never(job: Job) -> Material:
        raise AssertionError("not asked for")

    job = tickets(tmp_path)
    (tmp_path / "train.jsonl").write_text(tickets_with_two_slips())

    problems = [found for ok, found in of(check_job(job, never), "data") if ok is False]

    assert len(problems) >= 2
    assert any("train.jsonl:7" in problem for problem in problems)


def test_own_code_shows_what_would_be_sent(tmp_path: Path) -> None:
    [(ok, size)] = of(check_job(own_code(tmp_path), material), "sent")

    assert ok and size.startswith("1 files") and "train.py" in size


def test_what_is_wrong_with_a_model_is_a_finding_with_its_hint(tmp_path: Path) -> None:
    def unknown(job: Job) -> Material:
        raise SpecError(["no such model", "no such revision"], hint="look at the hub")

    def gated(job: Job) -> Material:
        raise MissingCredentials("the model is gated", hint="gpulease login huggingface")

    job = tickets(tmp_path)

    assert of(check_job(job, unknown), "model") == [
        (False, "no such model"),
        (False, "no such revision"),
    ]
    assert check_job(job, gated)[-1] == (
        "model",
        False,
        "the model is gated",
        "gpulease login huggingface",
    )


def test_a_computer_without_keys_is_told_how_to_log_in(tmp_path: Path) -> None:
    findings = computer(tmp_path / "home", {})

    assert findings[-1] == ("keys", None, "no provider has a key", "gpulease login runpod")
    assert of(findings, "home")[0][0] is True


def test_accounts_show_what_burns_and_a_refused_key_is_one_finding(tmp_path: Path) -> None:
    burning, refused = SmallCloud([machine("m1"), machine("m2")]), SmallCloud()
    refused.fault = BadCredentials("the key is refused")

    findings = computer(tmp_path / "home", {"burning": burning, "refused": refused})

    assert of(findings, "burning") == [(True, "2 machines, $1.20/h")]
    assert of(findings, "refused") == [(False, "the key is refused")]


@pytest.mark.parametrize(
    ("usd", "words"), [("7.5", ", $7.50 left"), (None, ", its balance cannot be read now")]
)
def test_what_an_account_holds_is_told_where_that_can_be_had(
    tmp_path: Path, usd: str | None, words: str
) -> None:
    bank = Bank(usd)
    bank.capabilities = replace(bank.capabilities, tells_balance=True)

    findings = computer(tmp_path / "home", {"bank": bank})

    assert of(findings, "bank") == [(True, f"2 machines, $1.20/h{words}")]


def test_a_living_driver_is_seen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert of(computer(home, {}), "driver") == [(True, "not needed now")]

    with driver_lock(home):
        assert of(computer(home, {}), "driver") == [(True, "lives")]


def test_a_copied_home_is_a_finding(tmp_path: Path) -> None:
    open_home(tmp_path / "home", computer="another computer")

    assert of(computer(tmp_path / "home", {}), "home")[0][0] is False


def test_a_webhook_is_checked_without_a_word_to_it() -> None:
    url = "https://hooks.example.org/x?token=s3cr3t"

    signed = check_webhook(url, new_secret())
    unsigned = check_webhook(url, None)
    weak = check_webhook(url, "hunter2")

    assert signed == ("webhook", True, "hooks.example.org", "")
    assert unsigned[:3] == ("webhook", None, "not signed") and "whsec_" in unsigned[3]
    assert weak[1] is False and "at least 24 bytes" in weak[2]
    for _, _, finding, fix in (signed, unsigned, weak):
        assert "s3cr3t" not in finding + fix


class Seen(SmallCloud):
    """A cloud whose own client sees what the test says."""

    def __init__(self, *ids: str) -> None:
        super().__init__([machine("m1"), machine("m2")])
        self.seen: frozenset[str] | None = frozenset(ids)
        self.down: ProviderDown | None = None

    def second_list(self) -> frozenset[str] | None:
        if self.down:
            raise self.down
        return self.seen


@pytest.mark.parametrize(
    ("ids", "finding"),
    [
        (("m1", "m2"), (True, "sees the same 2 machines")),
        (("m1", "m2", "m3"), (False, "also sees m3")),
        (("m1",), (None, "does not see m2")),
    ],
)
def test_a_providers_own_client_is_compared_with_ours(
    tmp_path: Path, ids: tuple[str, ...], finding: tuple[bool | None, str]
) -> None:
    findings = computer(tmp_path, {"cloud": Seen(*ids)})

    assert of(findings, "cloud, own client") == [finding]


def test_an_own_client_that_is_absent_or_fails_is_no_problem(tmp_path: Path) -> None:
    absent, broken = Seen(), Seen()
    absent.seen, broken.down = None, ProviderDown("it says nothing")

    findings = computer(tmp_path, {"absent": absent, "broken": broken})

    assert of(findings, "absent, own client") == []
    assert of(findings, "broken, own client") == [(None, "it says nothing")]


def test_a_secret_among_the_code_is_a_finding_with_the_way_out(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/.env").write_text("TOKEN=x")

    [(ok, secret)] = of(check_job(job, material), "secrets")
    assert ok is None and secret.endswith(": .env")
    assert of(check_job(job, material, [tmp_path / "own/.env"]), "secrets") == []


@pytest.mark.parametrize(
    ("kind", "ok"),
    [("ext4", True), ("overlay", True), ("nfs4", False), ("cifs", False), ("fuse.sshfs", False)],
)
def test_a_home_on_a_network_file_system_is_a_finding(tmp_path: Path, kind: str, ok: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"none / ext4 rw 0 0\nserver:/x /home {kind} rw 0 0\n")

    _, found_ok, found, fix = on_local_disk(Path("/home/ada/gpulease"), mounts)

    assert (found_ok, found, bool(fix)) == (ok, kind, not ok)
    assert on_local_disk(Path("/srv/gpulease"), mounts)[1:3] == (True, "ext4")
    assert on_local_disk(Path("/srv"), tmp_path / "absent")[1] is None
