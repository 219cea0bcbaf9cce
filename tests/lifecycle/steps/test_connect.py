from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.errors import HostKeyMismatch, ProviderDown, Unreachable
from orchestrator.lifecycle.deadlines import LOGIN_S
from orchestrator.lifecycle.host_keys import given_host_key, new_host_key
from orchestrator.lifecycle.steps.rent import with_machine
from orchestrator.providers.base import MachineStatus, SshAddress
from orchestrator.remote.keys import fingerprint
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import ADDRESS, CAPABILITIES, HOST_KEY, Stage
from tests.runs.samples import NOW_S, RUN_ID, lease

PINNED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43
FINGERPRINTS = f"SSH host keys:\n256 {fingerprint(PINNED)} root@box (ED25519)\n"


def booting(stage: Stage, **changes: object) -> None:
    stage.begin_held(State.BOOTING, changes)


def is_given_up(stage: Stage, why: str) -> bool:
    """Whether the machine goes back and the next offer is tried."""
    old, new = stage.run.leases
    assert why in old.why_ended
    return old.state is LeaseState.RETURNING and new.offer.id == "RTX 4090 x2"


def test_the_host_key_of_the_boot_log_is_pinned_before_the_login(stage: Stage) -> None:
    stage.cloud.console = f"booting\n{PINNED} root@box\nready\n"
    stage.box.host_key = PINNED
    booting(stage)

    stage.drive()

    assert stage.state() is State.SHIPPING
    assert (stage.first.host_key, stage.first.host_key_by) == (PINNED, "boot log")
    assert (stage.first.ssh_host, stage.first.ssh_port) == ("192.0.2.1", 2222)


def test_a_boot_log_of_fingerprints_pins_the_key_that_has_one_of_them(stage: Stage) -> None:
    stage.cloud.console = FINGERPRINTS
    stage.box.host_key = PINNED
    booting(stage)

    stage.drive()

    assert stage.state() is State.SHIPPING
    assert (stage.first.host_key, stage.first.host_key_by) == (PINNED, "boot log")


def test_a_key_without_its_fingerprint_in_the_boot_log_gives_the_machine_up(stage: Stage) -> None:
    stage.cloud.console = FINGERPRINTS
    booting(stage)

    stage.drive()

    assert is_given_up(stage, "another host key")


def test_the_boot_log_is_not_asked_for_before_sshd_answers(stage: Stage) -> None:
    stage.box.answers = False
    booting(stage)

    stage.after(60)
    stage.after(60)
    assert stage.run.waiting == "sshd does not answer yet"
    assert stage.first.ssh_host == "192.0.2.1"
    assert stage.cloud.said("boot_log") == []
    stage.box.answers, stage.box.host_key, stage.cloud.console = True, PINNED, FINGERPRINTS
    stage.after(2)

    assert stage.state() is State.SHIPPING
    assert stage.cloud.said("boot_log") == ["m1"]


def test_a_short_boot_is_looked_at_often_and_a_long_one_at_the_usual_pace(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, poll_s=5.0)
    stage.cloud.address = None
    booting(stage)

    def lists_within(seconds: float) -> int:
        before, end_s = len(stage.cloud.said("list")), stage.clock.now_s() + seconds
        while stage.clock.now_s() < end_s:
            stage.clock.advance(stage.engine.drive(RUN_ID) or 0.0)
        return len(stage.cloud.said("list")) - before

    assert 5 <= lists_within(2.0) <= 8
    assert lists_within(58.0) <= 25
    assert lists_within(60.0) <= 13


def test_without_a_key_in_the_boot_log_the_first_one_seen_is_pinned_at_last(stage: Stage) -> None:
    booting(stage)

    stage.drive()
    stage.after(14)
    assert stage.state() is State.BOOTING
    assert stage.run.waiting == "its boot log does not show the host key yet"
    stage.after(1)

    assert stage.state() is State.SHIPPING
    assert (stage.first.host_key, stage.first.host_key_by) == (HOST_KEY, "first use")


def test_no_address_and_no_sshd_yet_is_no_failure(stage: Stage) -> None:
    stage.cloud.address = None
    booting(stage)
    stage.after(30)
    assert stage.run.waiting == "the machine boots"

    stage.box.fault = Unreachable("refused")
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], address=ADDRESS)
    stage.cloud.console = FINGERPRINTS
    stage.box.host_key = PINNED
    stage.after(2)
    assert "sshd does not answer yet" in stage.run.waiting
    stage.box.fault = None
    stage.after(1)

    assert stage.state() is State.SHIPPING


def test_another_host_key_than_the_pinned_one_gives_the_machine_up(stage: Stage) -> None:
    stage.cloud.console = PINNED
    stage.box.fault = HostKeyMismatch("another host key than the pinned one")
    booting(stage)

    stage.drive()

    assert is_given_up(stage, "another host key")


def test_a_machine_that_never_boots_is_given_up_with_its_boot_log(stage: Stage) -> None:
    stage.cloud.address = None
    stage.cloud.console = "kernel panic\n"
    booting(stage)
    stage.drive()
    stage.after(CAPABILITIES.boot_deadline_s)
    assert stage.state() is State.BOOTING

    stage.after(1)

    assert is_given_up(stage, "nobody could log in within 8 min")
    assert (stage.home / "boot-m1.log").read_text() == "kernel panic\n"


def test_a_machine_whose_host_cannot_start_it_is_not_waited_for(stage: Stage) -> None:
    stage.cloud.address = None
    stage.cloud.trouble = "error pulling image: toomanyrequests"
    booting(stage)
    stage.after(59)
    assert stage.cloud.said("boot_trouble") == []

    stage.after(1)

    assert is_given_up(stage, "its host cannot start it: error pulling image: toomanyrequests")
    assert stage.first.failed_boot_s == NOW_S + 60


def test_a_host_is_asked_once_a_minute_what_keeps_a_machine_from_coming_up(stage: Stage) -> None:
    stage.cloud.address = None
    stage.cloud.errors["boot_trouble"] = [ProviderDown("the log cannot be read now")]
    booting(stage)
    for _ in range(150):
        stage.after(1)

    assert stage.state() is State.BOOTING
    assert stage.cloud.said("boot_trouble") == ["m1", "m1"]


@pytest.mark.parametrize(("trust", "kept"), [("verified", False), ("secure", True)])
def test_a_machine_of_others_that_runs_without_an_address_is_given_up_after_minutes(
    stage: Stage, trust: str, kept: bool
) -> None:
    stage.cloud.address = None
    stage.cloud.capabilities = replace(CAPABILITIES, address_s=180.0)
    booting(stage, offer=replace(lease().offer, trust=trust))
    stage.drive()
    stage.after(179)
    assert stage.state() is State.BOOTING

    stage.after(1)

    assert (stage.state() is State.BOOTING) is kept
    assert kept or is_given_up(stage, "for 3 min it has had no address")


def test_a_machine_with_an_address_gets_some_time_more(stage: Stage) -> None:
    stage.box.fault = Unreachable("refused")
    booting(stage, ssh_host="192.0.2.1", host_key=PINNED)
    stage.drive()

    stage.after(CAPABILITIES.boot_deadline_s + LOGIN_S)
    assert stage.state() is State.BOOTING
    stage.after(1)

    assert is_given_up(stage, "nobody could log in within 12 min")


def test_a_process_that_begins_a_day_later_tries_the_login_before_it_gives_up(stage: Stage) -> None:
    stage.box.fault = Unreachable("the network is not up yet")
    booting(stage, host_key=HOST_KEY)
    stage.clock.advance(86_400)

    stage.drive()
    assert stage.state() is State.BOOTING
    stage.box.fault = None
    stage.after(10)

    assert stage.state() is State.SHIPPING


def test_a_process_that_begins_a_day_later_gives_up_soon(stage: Stage) -> None:
    stage.box.fault = Unreachable("refused")
    booting(stage, host_key=HOST_KEY)
    stage.clock.advance(86_400)

    stage.drive()
    stage.after(29)
    assert stage.state() is State.BOOTING
    stage.after(1)

    assert stage.first.state is LeaseState.RETURNING


def test_a_machine_that_the_provider_calls_failed_is_given_up(stage: Stage) -> None:
    booting(stage)
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], status=MachineStatus.FAILED)

    stage.drive()

    assert is_given_up(stage, "the provider says that it is failed")
    stage.drive()
    assert stage.cloud.said("delete") == ["m1"]


def test_a_machine_not_listed_yet_is_waited_for(stage: Stage) -> None:
    stage.cloud.console = HOST_KEY
    booting(stage)
    machine = stage.cloud.machines.pop("m1")

    stage.drive()
    assert stage.state() is State.BOOTING
    stage.cloud.machines["m1"] = machine
    stage.after(2)

    assert stage.state() is State.SHIPPING


@pytest.mark.parametrize("account", ["user:u2", "key:two"])
def test_another_accounts_key_gives_up_no_machine(stage: Stage, account: str) -> None:
    booting(stage, account="user:u1,key:one", host_key=HOST_KEY)
    stage.cloud.account = account
    machine = stage.cloud.machines.pop("m1")

    stage.drive()
    stage.after(CAPABILITIES.list_lag_s * 3)

    assert (stage.state(), stage.first.state) == (State.BOOTING, LeaseState.HELD)
    assert "another account" in stage.run.waiting
    stage.cloud.account = "user:u1,key:one"
    stage.cloud.machines["m1"] = machine
    stage.after(60)
    assert stage.state() is State.SHIPPING


def test_a_machine_that_vanished_is_given_up_after_the_lists_lag(stage: Stage) -> None:
    booting(stage)
    stage.cloud.machines.clear()

    stage.drive()
    stage.after(CAPABILITIES.list_lag_s - 1)
    assert stage.state() is State.BOOTING
    stage.after(1)

    assert is_given_up(stage, "the machine vanished while it booted")


def test_a_cancelled_run_gives_its_booting_machine_back(stage: Stage) -> None:
    booting(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    stage.drive()

    assert (stage.run.state, stage.run.outcome) == (State.RETURNING, Outcome.CANCELLED)
    assert stage.first.state is LeaseState.RETURNING


def test_a_price_that_only_the_list_tells_is_compared_too(stage: Stage) -> None:
    """The answer to the create said nothing of it."""
    booting(stage)
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], usd_per_hour=Decimal("1.20"))

    stage.drive()

    assert stage.first.state is LeaseState.RETURNING
    assert "not the $0.600/h" in stage.first.why_ended


PROXY = SshAddress("proxy.example", 15678, "root")


def test_each_address_is_tried_for_a_while_and_the_one_that_worked_stays(stage: Stage) -> None:
    booting(stage)
    stage.box.answers = False
    machine = replace(stage.cloud.machines["m1"], other_addresses=(PROXY,))
    stage.cloud.machines["m1"] = machine

    stage.drive()
    assert stage.first.ssh_host == ADDRESS.host
    stage.after(50)
    assert (stage.first.ssh_host, stage.first.ssh_port) == (PROXY.host, PROXY.port)
    stage.after(50)
    assert stage.first.ssh_host == ADDRESS.host
    stage.after(50)
    stage.box.answers, stage.box.host_key, stage.cloud.console = True, PINNED, FINGERPRINTS
    stage.after(2)

    assert stage.state() is State.SHIPPING
    kept = with_machine(stage.first, machine)
    assert (kept.ssh_host, kept.ssh_port) == (PROXY.host, PROXY.port)


def test_from_when_a_machine_runs_is_kept_once_it_is_seen(stage: Stage) -> None:
    booting(stage)
    stage.box.answers = False
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], up_s=7.0)

    stage.after(20)
    seen_s = stage.first.ran_s
    stage.after(20)

    assert seen_s == stage.clock.now_s() - 20 - 7 == stage.first.ran_s


def test_an_image_on_a_slow_line_has_longer_to_come_up(stage: Stage) -> None:
    slow = replace(lease().offer, download_mbit_s=50.0)
    booting(stage, offer=slow)
    stage.cloud.machines["m1"] = replace(
        stage.cloud.machines["m1"], status=MachineStatus.BOOTING, address=None
    )

    stage.after(31)
    stage.after(2000)
    assert stage.state() is State.BOOTING
    stage.after(500)
    assert "nobody could log in within 40 min" in stage.first.why_ended


def given(stage: Stage) -> str:
    """A provider whose machines take a host key, and the one that was made for this lease."""
    stage.cloud.capabilities = replace(CAPABILITIES, takes_host_key=True, has_boot_log=False)
    new_host_key(stage.home, "label-0")
    return given_host_key(stage.home, "label-0")


def test_the_host_key_that_a_machine_was_given_is_the_only_one_believed(stage: Stage) -> None:
    stage.box.host_key = given(stage)
    booting(stage)

    stage.drive()

    assert stage.state() is State.SHIPPING
    assert (stage.first.host_key, stage.first.host_key_by) == (stage.box.host_key, "first boot")


def test_another_key_is_waited_past_until_cloud_init_has_put_in_the_right_one(stage: Stage) -> None:
    right = given(stage)
    booting(stage)

    stage.drive()
    stage.after(5)
    assert stage.state() is State.BOOTING
    assert stage.run.waiting == "it does not show its own host key yet"
    stage.box.host_key = right
    stage.after(5)

    assert stage.state() is State.SHIPPING


def test_a_machine_that_never_shows_the_key_it_was_given_goes_back(stage: Stage) -> None:
    given(stage)
    booting(stage)
    limit_s = CAPABILITIES.boot_deadline_s + LOGIN_S

    stage.drive()
    for _ in range(4):
        stage.after(limit_s / 3)

    assert is_given_up(stage, "nobody could log in")


def test_without_the_key_that_was_made_for_it_the_first_one_is_believed_and_told(
    stage: Stage,
) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, takes_host_key=True, has_boot_log=False)
    booting(stage)

    stage.drive()

    assert (stage.state(), stage.first.host_key_by) == (State.SHIPPING, "first use")


def test_a_new_machine_that_its_provider_lost_touch_with_has_some_time_to_come_back(
    stage: Stage,
) -> None:
    stage.box.answers = False
    stage.cloud.capabilities = replace(CAPABILITIES, out_of_touch_s=180.0)
    booting(stage)
    lost = replace(stage.cloud.machines["m1"], status=MachineStatus.OUT_OF_TOUCH)
    stage.cloud.machines["m1"] = lost

    stage.drive()
    stage.after(170)
    assert stage.state() is State.BOOTING
    stage.cloud.machines["m1"] = replace(lost, status=MachineStatus.RUNNING)
    stage.after(20)
    assert stage.state() is State.BOOTING
    stage.cloud.machines["m1"] = lost
    stage.after(5)
    stage.after(185)

    assert is_given_up(stage, "lost touch")


def test_a_machine_that_answers_before_it_is_called_running_costs_from_then_on(
    stage: Stage,
) -> None:
    stage.cloud.console = f"{PINNED} root@box\n"
    stage.box.host_key = PINNED
    booting(stage)
    early = replace(stage.cloud.machines["m1"], status=MachineStatus.BOOTING)
    stage.cloud.machines["m1"] = early

    stage.after(60)

    assert stage.state() is State.SHIPPING
    assert stage.first.ran_s == NOW_S + 60
