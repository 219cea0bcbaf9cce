from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.providers.base import MachineStatus, SshAddress
from orchestrator.providers.vast.instances import to_all, to_charge, to_machine
from tests.providers.vast.samples import LABEL, NOW_S, instance, stopped

OCI = (
    "Error response from daemon: failed to create task for container: failed to create shim "
    "task: OCI runtime create failed: CDI device injection failed"
)
DIRECT = SshAddress("203.0.113.7", 40123, "root")
PROXY = SshAddress("ssh5.vast.ai", 15678, "root")


def status(row: dict[str, Any], *, age_s: float = 60.0) -> MachineStatus:
    return to_machine({**row, "start_date": NOW_S - age_s}, "root", NOW_S).status


def test_a_running_instance_is_read_in_every_part() -> None:
    machine = to_machine(instance(), "root", NOW_S)

    assert (machine.id, machine.label, machine.status) == ("12345678", LABEL, "running")
    assert (machine.gpu, machine.gpu_count) == ("RTX 4090", 1)
    assert machine.usd_per_hour == Decimal("0.3666667")
    assert machine.created_at_s == 1788790400.5
    assert machine.up_s == pytest.approx(192)
    assert machine.disk_gib == pytest.approx(80e9 / 2**30)
    assert (machine.address, machine.other_addresses) == (DIRECT, (PROXY,))
    assert not machine.spot


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (None, MachineStatus.BOOTING),
        ("created", MachineStatus.BOOTING),
        ("loading", MachineStatus.BOOTING),
        ("running", MachineStatus.RUNNING),
        ("stopped", MachineStatus.STOPPED),
        ("exited", MachineStatus.FAILED),
        ("frozen", MachineStatus.FAILED),
        ("rebooting", MachineStatus.BOOTING),
        ("recycling", MachineStatus.BOOTING),
        ("unknown", MachineStatus.OUT_OF_TOUCH),
        ("offline", MachineStatus.OUT_OF_TOUCH),
        ("teleporting", MachineStatus.BOOTING),
        (7, MachineStatus.BOOTING),
    ],
)
def test_every_state_has_a_meaning_and_a_new_word_is_transitional(
    word: object, expected: MachineStatus
) -> None:
    assert status(instance(actual_status=word)) is expected


def test_a_container_that_ended_because_its_claim_was_lost_is_stopped_and_has_not_failed() -> None:
    lost = dict.fromkeys(("cur_state", "intended_status", "next_state"), "stopped")

    assert status(instance(actual_status="exited", **lost)) is MachineStatus.STOPPED


def test_a_container_that_cannot_start_has_failed_at_once() -> None:
    assert status(stopped(actual_status="created", status_msg=OCI), age_s=5) == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "manifest unknown: manifest unknown",
        "unauthorized: authentication required",
        "failed to pull image",
        "toomanyrequests: You have reached your pull rate limit",
        "write /var/lib: no space left on device",
    ],
)
def test_a_pull_that_cannot_succeed_has_failed(text: str) -> None:
    assert status(instance(actual_status="loading", status_msg=text)) is MachineStatus.FAILED


@pytest.mark.parametrize("text", ["a1b2: Retrying in 5 seconds", "unexpected EOF", None, 7])
def test_trouble_of_the_network_or_silence_is_left_to_the_deadline(text: object) -> None:
    row = instance(actual_status="loading", status_msg=text)
    assert status(row, age_s=2000) is MachineStatus.BOOTING


def test_an_old_error_text_says_nothing_of_what_runs() -> None:
    assert status(instance(status_msg=OCI)) is MachineStatus.RUNNING


def test_a_stopped_triple_while_loading_counts_only_once_it_has_lasted() -> None:
    row = stopped(actual_status="loading", status_msg="a1b2: Downloading")

    assert status(row, age_s=100) is MachineStatus.BOOTING
    assert status(row, age_s=200) is MachineStatus.FAILED
    assert status({**row, "next_state": "running"}, age_s=200) is MachineStatus.BOOTING


def test_direct_and_proxy_are_each_made_from_one_source() -> None:
    jupyter = instance(image_runtype="jupyter_direc ssh_direc ssh_proxy")

    (proxy,) = to_machine(jupyter, "root", NOW_S).other_addresses

    assert proxy == SshAddress("ssh5.vast.ai", 15679, "root")


def test_an_address_is_trimmed_and_its_port_is_text() -> None:
    machine = to_machine(instance(public_ipaddr=" 203.0.113.7\n"), "root", NOW_S)

    assert machine.address == DIRECT


@pytest.mark.parametrize("ports", [None, {}, {"22/tcp": None}, {"22/tcp": [{"HostIp": "0.0.0.0"}]}])
def test_ports_may_come_late_and_then_only_the_proxy_is_left(ports: object) -> None:
    def addresses(up_min: float | None, age_s: float = 90.0) -> tuple[object, ...]:
        row = instance(ports=ports, uptime_mins=up_min, start_date=NOW_S - age_s)
        machine = to_machine(row, "root", NOW_S)
        return (machine.address, *machine.other_addresses)

    assert addresses(0.5) == (None,)
    assert addresses(1.0) == (PROXY,)
    assert addresses(None) == (None,)
    assert addresses(None, age_s=300.0) == (PROXY,)


def test_what_does_not_run_has_no_address() -> None:
    assert to_machine(instance(actual_status="stopped"), "root", NOW_S).address is None


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "", None, 7])
def test_an_address_that_cannot_be_dialled_is_none(host: object) -> None:
    row = instance(public_ipaddr=host, ssh_host=host)
    assert to_machine(row, "root", NOW_S).address is None


def test_the_rate_is_that_of_a_running_instance_whatever_a_stopped_one_shows() -> None:
    row = instance(dph_total=Decimal("0.02"), storage_total_cost=Decimal("0.0167"))
    assert to_machine(row, "root", NOW_S).usd_per_hour == Decimal("0.3667")


def test_null_fields_before_it_runs_are_no_zeros() -> None:
    row = instance(actual_status=None, num_gpus=None, gpu_name=None, gpu_ram=None, uptime_mins=None)
    machine = to_machine({**row, "disk_space": None}, "root", NOW_S)

    assert (machine.gpu, machine.gpu_count, machine.disk_gib, machine.up_s) == ("", 1, None, None)


def test_a_bid_is_seen_as_one() -> None:
    assert to_machine(instance(is_bid=True), "root", NOW_S).spot


@pytest.mark.parametrize("row", [None, [], {}, {"id": None}, {"id": "7"}, {"id": 0}])
def test_a_row_without_an_id_is_no_instance(row: Any) -> None:
    with pytest.raises(ProviderDown):
        to_machine(row, "root", NOW_S)


def pages(*answers: dict[str, Any]) -> list[dict[str, Any]]:
    given = dict(zip(["", "t1", "t2", "t3"], answers, strict=False))
    return to_all(given.__getitem__, "instances", "total_instances", "instances", 10)


def page(*ids: int, after: str | None = None, total: int | None = None) -> dict[str, Any]:
    rows = [{"id": one} for one in ids]
    return {"success": True, "instances": rows, "next_token": after, "total_instances": total}


def test_every_page_is_read_an_empty_one_too() -> None:
    found = pages(page(1, after="t1"), page(after="t2"), page(2, 3, total=3))

    assert [row["id"] for row in found] == [1, 2, 3]


@pytest.mark.parametrize(
    "answers",
    [
        [page(1, after="t1"), page(2, after="t1")],  # a repeated token
        [page(1, total=2)],  # fewer than are counted
        [{"success": False, "instances": [], "error": "x"}],
        [{"success": True, "instances": None}],
        [{"success": True}],
        [page(1, after="t1"), {"success": True, "instances": [7]}],
    ],
)
def test_half_a_list_is_an_error_and_never_no_machines(answers: list[dict[str, Any]]) -> None:
    with pytest.raises(ProviderDown):
        pages(*answers)


def test_a_list_that_does_not_end_is_an_error() -> None:
    with pytest.raises(ProviderDown, match="does not end"):
        to_all(lambda token: page(1, after=token + "x"), "instances", "n", "instances", 10)


def test_a_charge_names_its_instance_by_source() -> None:
    line = {
        "start": 1790000000,
        "end": 1790007200,
        "type": "instance",
        "source": "instance-12345678",
        "amount": Decimal("0.735"),
    }

    charge = to_charge(line)

    assert (charge.machine_id, charge.usd) == ("12345678", Decimal("0.735"))
    assert (charge.start_s, charge.end_s) == (1790000000, 1790007200)
    assert to_charge({**line, "source": "volume-7"}).machine_id == ""


def test_traffic_is_priced_on_the_instance_too_and_null_is_not_free() -> None:
    told = to_machine(instance(), "root", NOW_S).traffic

    assert told is not None
    assert told.upload_usd_per_gib == told.download_usd_per_gib == Decimal("0.003222")
    assert to_machine(instance(inet_up_cost=None), "root", NOW_S).traffic is None
