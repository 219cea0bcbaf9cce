"""GraphQL, as far as anybody still needs it."""

from __future__ import annotations

import pytest

from infra.simcloud.cloud import SimCloud
from infra.simcloud.runpod.selection import SyntaxProblem, parse
from orchestrator.clock import FakeClock
from tests.simcloud.api import Api


def test_balance_and_spend_of_the_account(cloud: SimCloud, api: Api, clock: FakeClock) -> None:
    api.create()
    clock.advance(3600)

    data = api.graphql("{myself{id clientBalance currentSpendPerHr}}").json()["data"]

    assert data["myself"]["id"].startswith("user_")
    assert data["myself"]["clientBalance"] == pytest.approx(250 - 0.43274, abs=1e-4)
    assert data["myself"]["currentSpendPerHr"] == pytest.approx(0.43274, abs=1e-4)
    with Api(cloud.env, "SIMCLOUD_RUNPOD_OTHER_KEY") as other:
        assert other.graphql("{myself{id}}").json()["data"]["myself"] != data["myself"]["id"]


def test_keys_fail_in_graphqls_own_ways(cloud: SimCloud, api: Api) -> None:
    pod = api.create()
    terminate = f'mutation{{podTerminate(input:{{podId:"{pod["id"]}"}})}}'

    with Api(cloud.env, "") as nobody:
        assert nobody.graphql("{myself{id}}").json() == {"data": {"myself": None}}
        assert nobody.graphql("{gpuTypes{id}}").json()["data"]["gpuTypes"]
    with Api(cloud.env | {"RUNPOD_API_KEY": "rpa_WRONG"}) as wrong:
        assert wrong.graphql("{myself{id}}").status_code == 401
    with Api(cloud.env, "SIMCLOUD_RUNPOD_READ_ONLY_KEY") as reader:
        reply = reader.graphql(terminate)
    assert reply.status_code == 200
    assert reply.json()["errors"][0]["message"] == "Unauthorized"
    assert api.names() == ["a-pod"]


def test_a_pod_is_stopped_and_terminated(cloud: SimCloud, api: Api) -> None:
    pod = api.create()
    ask = f'input:{{podId:"{pod["id"]}"}}'

    stopped = api.graphql(f"mutation{{podStop({ask}){{id desiredStatus}}}}").json()["data"]
    assert stopped["podStop"] == {"id": pod["id"], "desiredStatus": "EXITED"}
    gone = api.graphql(f"mutation{{podTerminate({ask})}}").json()
    assert gone == {"data": {"podTerminate": None}}
    again = api.graphql(f"mutation{{podTerminate({ask})}}").json()
    assert again["errors"][0]["message"] == "pod not found to terminate"
    assert api.graphql(f"{{pod({ask}){{id}}}}").json()["data"]["pod"] is None


def test_the_catalog_shows_one_card(api: Api) -> None:
    query = '{gpuTypes(input:{id:"NVIDIA L4"}){displayName memoryInGb communityPrice}}'

    data = api.graphql(query).json()["data"]["gpuTypes"]

    assert data == [{"displayName": "L4", "memoryInGb": 24, "communityPrice": None}]


def test_graphql_can_be_gone(cloud: SimCloud, api: Api) -> None:
    cloud.switch(graphql_gone=True)

    assert api.graphql("{myself{id}}").status_code == 410


@pytest.mark.parametrize(
    "query", ["{nobody{id}}", "{myself{id}", "{myself{secret}}", "{myself}", "mutation{myself{id}}"]
)
def test_a_query_that_is_wrong_is_a_400(api: Api, query: str) -> None:
    reply = api.graphql(query)

    assert reply.status_code == 400
    assert reply.json()["errors"][0]["message"]


def test_variables_names_lists_and_comments_are_read() -> None:
    text = (
        "query Q($id: String!) { # why\n pod(input: {podId: $id, xs: [1, 2.5, A]}) { id, name } }"
    )

    operation = parse(text, {"id": 'a"b'})

    assert operation.fields[0].arguments == {"input": {"podId": 'a"b', "xs": [1, 2.5, "A"]}}
    assert [field.name for field in operation.fields[0].selected] == ["id", "name"]


def test_what_is_not_graphql_is_said_so() -> None:
    with pytest.raises(SyntaxProblem, match="Syntax Error"):
        parse("{a ~ b}")
