from __future__ import annotations

import json

import pytest

from orchestrator.errors import (
    BadCredentials,
    HostKeyMismatch,
    InvalidRequest,
    LoginRefused,
    NoCapacity,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    Unreachable,
)
from orchestrator.providers.ssh_host import mapping
from orchestrator.remote.shell import Reply

LOOK = {
    "identity": "ab12",
    "root": "/home/ada/gpulease",
    "ram_bytes": 64 * 2**30,
    "architecture": "x86_64",
    "machines": [{"id": "gl1-x", "facts": {"gpus": ["GPU-1"]}}, {"id": "gl1-y", "facts": 5}],
    "nvidia_table": "GPU-1, NVIDIA L4, 23034, 0, 8.9\n",
    "nvidia_banner": "| CUDA Version: 13.0 |",
}


def test_a_look_is_read_with_its_machines_and_gpus() -> None:
    look = mapping.to_look(LOOK, "ssh_host:tower", "tower")

    assert (look.identity, look.computer.ram_gib) == ("user:ab12", 64.0)
    assert look.records == {"gl1-x": {"gpus": ["GPU-1"]}, "gl1-y": {}}
    assert [(gpu.uuid, gpu.cuda) for gpu in look.gpus] == [("GPU-1", "13.0")]


@pytest.mark.parametrize("missing", LOOK)
def test_a_look_that_says_too_little_is_trouble_and_no_empty_list(missing: str) -> None:
    partial = {key: value for key, value in LOOK.items() if key != missing}

    if missing == "identity":
        assert mapping.to_look(partial, "p", "tower").identity == ""
    else:
        with pytest.raises(ProviderDown, match="as agreed"):
            mapping.to_look(partial, "p", "tower")


@pytest.mark.parametrize("stdout", [b"", b"{", b"[]", b"Welcome!\n", b'{"error": "disk full"}'])
def test_anything_but_an_answer_is_trouble(stdout: bytes) -> None:
    with pytest.raises(ProviderDown):
        mapping.to_answer(Reply(0, stdout, b"a\x1b[31mb"), "tower")


def test_a_record_is_there_or_said_to_be_absent() -> None:
    assert mapping.to_record({"machine": None}, "tower") is None
    assert mapping.to_record({"machine": {"facts": {"a": 1}}}, "tower") == {"a": 1}
    with pytest.raises(ProviderDown):
        mapping.to_record({}, "tower")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"refused": "exists"}, InvalidRequest),
        ({"refused": "in use"}, NoCapacity),
        ({"refused": "locked"}, NoCapacity),
        ({}, OutcomeUnknown),
    ],
)
def test_a_create_that_made_nothing_says_why(
    answer: dict[str, object], kind: type[ProviderError]
) -> None:
    with pytest.raises(kind):
        mapping.to_created(answer, "tower")


def test_trouble_of_a_connection_keeps_its_hint_and_is_never_absence() -> None:
    assert isinstance(mapping.to_error(LoginRefused("x", hint="h")), BadCredentials)
    for error in (Unreachable("x", hint="h"), HostKeyMismatch("x", hint="h")):
        meant = mapping.to_error(error)
        assert isinstance(meant, ProviderDown)
        assert (meant.problem, meant.hint) == ("x", "h")


def test_a_request_travels_as_text_that_python_reads_as_it_was() -> None:
    program = mapping.to_program("find", label="it's \"quoted\" \\ 'é'\n").decode()

    namespace: dict[str, object] = {}
    call = program.rpartition("\nmain(")[2]
    exec(f"said = ({call}", namespace)
    assert json.loads(str(namespace["said"])) == {
        "do": "find",
        "label": "it's \"quoted\" \\ 'é'\n",
    }
