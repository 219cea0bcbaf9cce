"""Lists in pages: all of them, or an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import (
    MachineNotFound,
    ProviderDown,
    ProviderError,
)
from orchestrator.providers.runpod import RunPod
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json, page, refusal
from tests.providers.runpod.samples import pod

Answers = Callable[[Seen], Reply]
Start = Callable[[Answers], tuple[RunPod, LoopbackApi]]


def pages_of(rows: list[dict[str, Any]], size: int) -> Answers:
    def answer(request: Seen) -> Reply:
        first = int(request.query.get("cursor", 0))
        more = first + size < len(rows)
        pagination = {"hasNextPage": more, "nextCursor": str(first + size) if more else None}
        return as_json({"pods": rows[first : first + size], "pagination": pagination})

    return answer


def test_a_list_is_all_its_pages(start: Start) -> None:
    rows = [pod(id=f"pod{n}") for n in range(5)]
    runpod, api = start(pages_of(rows, 2))

    assert [machine.id for machine in runpod.list_machines()] == [row["id"] for row in rows]
    assert [request.query.get("cursor") for request in api.seen] == [None, "2", "4"]
    assert all(request.query["includeClusterPods"] == "true" for request in api.seen)


def test_a_pod_on_two_pages_is_one_machine_and_a_terminated_one_is_none(start: Start) -> None:
    rows = [pod(id="a"), pod(id="b"), pod(id="b"), pod(id="c", status="TERMINATED")]
    runpod, _ = start(pages_of(rows, 2))

    assert [machine.id for machine in runpod.list_machines()] == ["a", "b"]


def test_a_list_of_one_page_may_lack_the_pagination(start: Start) -> None:
    runpod, _ = start(lambda _: as_json({"pods": [pod()]}))

    assert len(runpod.list_machines()) == 1


@pytest.mark.parametrize(
    "second",
    [
        refusal(500, "x"),
        page(502),
        page(200),
        Reply(hang_up=True),
        as_json({}),
        as_json({"pods": [{"id": None}]}),
        as_json({"pods": [], "pagination": {"hasNextPage": True, "nextCursor": "1"}}),
        as_json({"pods": [], "pagination": {"hasNextPage": True}}),
        refusal(404, "not found"),
        refusal(410, "gone"),
    ],
)
def test_a_list_whose_second_page_fails_is_an_error(start: Start, second: Reply) -> None:
    first = as_json({"pods": [pod()], "pagination": {"hasNextPage": True, "nextCursor": "1"}})
    runpod, _ = start(lambda request: second if "cursor" in request.query else first)

    with pytest.raises(ProviderError) as caught:
        runpod.list_machines()
    assert not isinstance(caught.value, MachineNotFound)


def test_a_list_that_never_ends_is_an_error(start: Start) -> None:
    count = iter(range(1000))
    runpod, api = start(
        lambda _: as_json(
            {"pods": [], "pagination": {"hasNextPage": True, "nextCursor": f"c{next(count)}"}}
        )
    )

    with pytest.raises(ProviderDown, match="does not end"):
        runpod.list_machines()
    assert len(api.seen) == 100
