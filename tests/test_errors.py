from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestrator import errors
from orchestrator.errors import (
    ApiGone,
    GpuleaseError,
    MachineNotFound,
    ProviderError,
    RateLimited,
    Recovery,
    RentedAnyway,
    SpecError,
)


def below(kind: type[GpuleaseError]) -> Iterator[type[GpuleaseError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


KINDS = list(below(GpuleaseError))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_to_publish_and_an_exit_code(kind: type[GpuleaseError]) -> None:
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert kind.code != GpuleaseError.code or kind is GpuleaseError
    assert 2 <= kind.exit_code <= 8 or "exit_code" not in vars(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_tree_that_the_module_draws(kind: type[GpuleaseError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")


def test_an_error_says_the_problem_and_keeps_the_hint_apart() -> None:
    error = GpuleaseError("the disk is full", hint="make room")

    assert str(error) == error.problem == "the disk is full"
    assert error.hint == "make room"


def test_a_wrong_job_file_names_every_mistake() -> None:
    error = SpecError(["job.yaml:1: no kind", "job.yaml:2: no data"])

    assert str(error).splitlines() == error.problems


def test_a_provider_error_is_waited_out_unless_it_proves_something() -> None:
    assert ProviderError("?").recovery is Recovery.WAIT
    assert ApiGone("410").recovery is Recovery.WAIT
    assert MachineNotFound("404").recovery is Recovery.GONE


def test_every_way_to_recover_belongs_to_some_error() -> None:
    providers = [kind for kind in below(ProviderError) if issubclass(kind, ProviderError)]

    assert {kind.recovery for kind in providers} == set(Recovery)


def test_what_the_caller_must_know_is_on_the_error() -> None:
    assert RentedAnyway("500", machine_id="m1").machine_id == "m1"
    assert RateLimited("429", retry_after_s=30).retry_after_s == 30
