from __future__ import annotations

from decimal import Decimal

import pytest
from ruamel.yaml import YAML

from orchestrator.providers.base import MachineStatus, SshAddress
from orchestrator.providers.lambda_cloud import mapping
from orchestrator.runs.label import parse_label
from tests.providers.lambda_cloud.samples import (
    HOST_PRIVATE,
    HOST_PUBLIC,
    LABEL,
    instance,
    request,
)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("booting", MachineStatus.BOOTING),
        ("active", MachineStatus.RUNNING),
        ("contactable", MachineStatus.RUNNING),
        ("unhealthy", MachineStatus.OUT_OF_TOUCH),
        ("terminating", MachineStatus.FAILED),
        ("a word of tomorrow", MachineStatus.BOOTING),
        (None, MachineStatus.BOOTING),
    ],
)
def test_every_status_that_is_not_an_end_may_bill(word: object, status: MachineStatus) -> None:
    machine = mapping.to_machine(instance(status=word), "ubuntu")

    assert machine is not None
    assert machine.status is status


def test_an_instance_without_ip_and_private_ip_has_no_address_yet() -> None:
    early = instance(status="booting")
    del early["ip"], early["private_ip"], early["hostname"], early["tags"]

    machine = mapping.to_machine(early, "ubuntu")

    assert machine is not None
    assert machine.address is None
    assert machine.label == LABEL


def test_an_address_may_be_tried_while_the_instance_is_still_called_booting() -> None:
    machine = mapping.to_machine(instance(status="booting"), "ubuntu")

    assert machine is not None
    assert machine.address == SshAddress("198.51.100.2", 22, "ubuntu")


def test_a_renamed_instance_is_known_by_its_tag() -> None:
    tagged = instance(name="my pet")
    label = parse_label(LABEL)
    assert label is not None

    machine = mapping.to_machine(tagged, "ubuntu")
    foreign = mapping.to_machine(instance(name="my pet", tags=[]), "ubuntu")

    assert machine is not None
    assert foreign is not None
    assert (machine.label, foreign.label) == (LABEL, "my pet")
    assert machine.created_at_s == label.created_s
    assert foreign.created_at_s == 0.0


def test_the_price_and_the_card_are_the_instances_own() -> None:
    machine = mapping.to_machine(instance(), "ubuntu")

    assert machine is not None
    assert (machine.gpu, machine.gpu_count) == ("A10", 1)
    assert machine.usd_per_hour == Decimal("1.29")
    assert machine.region == "us-east-1"


def test_a_launch_names_type_region_key_image_name_and_tag() -> None:
    assert mapping.to_launch_body(request(), "the key") == {
        "region_name": "us-east-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": ["the key"],
        "name": LABEL,
        "tags": [{"key": "gpulease", "value": LABEL}],
        "image": {"family": "lambda-stack-24-04"},
        "user_data": mapping.to_user_data(HOST_PRIVATE, HOST_PUBLIC),
    }


def test_cloud_init_reads_the_host_key_and_nothing_else() -> None:
    text = mapping.to_user_data(HOST_PRIVATE, HOST_PUBLIC)

    assert text.startswith("#cloud-config\n")
    assert YAML(typ="safe").load(text) == {
        "ssh_keys": {"ed25519_private": HOST_PRIVATE, "ed25519_public": HOST_PUBLIC}
    }


def test_the_host_key_does_not_show_in_a_request() -> None:
    assert "OPENSSH PRIVATE" not in repr(request())


def test_an_instance_of_odd_types_is_read_as_far_as_it_goes() -> None:
    odd = instance(name=7, ip=["x"], tags="no", instance_type=None, region=3, first_healthy="soon")

    machine = mapping.to_machine(odd, "ubuntu")

    assert machine is not None
    assert (machine.label, machine.address) == ("7", None)
    assert machine.usd_per_hour == 0


def test_a_foreign_instance_was_made_when_it_was_first_healthy_at_the_latest() -> None:
    machine = mapping.to_machine(
        instance(name="x", tags=[], first_healthy="2026-11-23T10:00:00Z"), "ubuntu"
    )

    assert machine is not None
    assert machine.created_at_s == 1795428000.0
