"""Vast's own command line against the simulator: an independent witness of its wire."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.vast import Vast

pytestmark = pytest.mark.timeout(300)  # the first test installs the command line

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"


class Person:
    """Somebody who types `vastai …`."""

    def __init__(self, command: Path, cloud: SimCloud, home: Path) -> None:
        self._command = command
        self._url = cloud.env["GPULEASE_VAST_URL"]
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "VAST_URL": self._url,
            "VAST_API_KEY": cloud.env["VAST_API_KEY"],
            "VASTAI_NO_UPDATE_CHECK": "1",
        }

    def types(self, *words: str) -> str:
        done = subprocess.run(
            [self._command, *words, "--url", self._url],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def asks(self, *words: str) -> Any:
        return json.loads(self.types(*words, "--raw"))


@pytest.fixture(scope="module")
def command(official_client: Callable[[str], Path]) -> Path:
    """The command line, in an environment of its own (40 packages)."""
    return official_client("vastai==1.9.1").with_name("vastai")


@pytest.fixture
def person(command: Path, vast_cloud: SimCloud, tmp_path: Path) -> Iterator[Person]:
    home = tmp_path / "home"
    home.mkdir()
    yield Person(command, vast_cloud, home)


def test_the_command_line_sees_what_we_rented(person: Person, vast: Vast) -> None:
    rented = vast.create(label="witness")

    (row,) = person.asks("show", "instances")

    assert (row["id"], row["label"]) == (rented, "witness")


@pytest.mark.slow
def test_what_the_command_line_rents_and_ends_is_what_everybody_sees(
    person: Person, vast: Vast, vast_cloud: SimCloud, clock: FakeClock
) -> None:
    wanted = "gpu_name=RTX_4090 num_gpus=1 direct_port_count>=2 reliability>0.98 gpu_ram>=23"
    offers = person.asks("search", "offers", wanted, "--order", "dph_total", "--storage", "30")
    assert [row["gpu_name"] for row in offers] == ["RTX 4090"] * len(offers)
    prices = [row["dph_total"] for row in offers]
    assert prices == sorted(prices) != []

    made = person.asks(
        "create", "instance", str(offers[0]["id"]), "--image", "ghcr.io/acme/train:1.4",
        "--disk", "30", "--label", "witness", "--ssh", "--direct", "--cancel-unavail",
        "--env", "-p 8000:8000 -e A=b", "--onstart-cmd", "echo hi",
    )  # fmt: skip
    instance_id = str(made["new_contract"])
    clock.advance(10)

    (row,) = person.asks("show", "instances")
    assert (str(row["id"]), row["label"], row["dph_total"]) == (
        instance_id, "witness", pytest.approx(prices[0]),
    )  # fmt: skip
    assert row["extra_env"] == {"-p 8000:8000": "1", "A": "b"}, "the command line makes it one"
    port = row["ports"]["22/tcp"][0]["HostPort"]
    assert person.types("ssh-url", instance_id).strip() == f"ssh://root@127.0.0.1:{port}"
    person.types("attach", "ssh", instance_id, KEY)
    person.types("label", "instance", instance_id, "renamed")
    person.types("stop", "instance", instance_id)
    assert vast.show(int(instance_id))["cur_state"] == "stopped"
    person.types("start", "instance", instance_id)
    assert vast.show(int(instance_id))["label"] == "renamed"

    person.types("destroy", "instance", instance_id, "-y")

    assert vast.ids() == []
    assert vast_cloud.machines()[0]["ended_by"] == "api"
    assert person.asks("show", "user")["credit"] < 250
