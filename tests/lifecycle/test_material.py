from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.simcloud.hub import HubServer, serve_hub
from infra.simcloud.hub_models import GATED_ID, MINILM_ID, HostedModel, minilm_folder
from orchestrator.errors import SpecError
from orchestrator.lifecycle.material import prepare
from orchestrator.lifecycle.plan import DEFAULT_IMAGE, Material
from orchestrator.spec.job import Job
from orchestrator.spec.load import load_job
from orchestrator.spec.packaged import packaged
from tests.lifecycle.jobs import own_code, tickets, tickets_with_two_slips


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    server = serve_hub(models=[HostedModel(MINILM_ID, minilm_folder())])
    yield server
    server.close()


def prepared(job: Job, hub: HubServer, tmp_path: Path) -> Material:
    return prepare(job, cache_dir=tmp_path / "cache", endpoint=hub.url, token=None)


def test_the_quickstart_is_sized_from_its_data_and_its_model(
    hub: HubServer, tmp_path: Path
) -> None:
    made = prepared(load_job(packaged("jobs") / "quickstart" / "job.yaml"), hub, tmp_path)

    launch = made.launch
    assert launch.columns == {"text": "text", "label": "label"}
    assert (launch.model_id, launch.model_revision) == (MINILM_ID, hub.commit(MINILM_ID))
    assert launch.model_endpoint == hub.url and launch.allow_cpu
    assert launch.program == "text-classification" and set(launch.requirements) == {"cpu", "cuda"}
    assert made.footprint is not None and made.footprint.steps == 90
    assert made.footprint.result_bytes > 80 << 20 and launch.result_bytes > 80 << 20
    assert ("parameters", "22.7 M") in made.sizing
    assert 0 < made.need.gpu_memory_gib < 8 and made.need.cuda == launch.cuda


def test_every_problem_of_the_data_is_told_before_the_hub_is_asked(tmp_path: Path) -> None:
    job = tickets(tmp_path)
    (tmp_path / "train.jsonl").write_text(tickets_with_two_slips())

    with pytest.raises(SpecError) as caught:
        prepare(job, cache_dir=tmp_path, endpoint="http://127.0.0.1:9", token=None)

    assert len(caught.value.problems) >= 2


def test_an_unknown_model_is_a_mistake_of_the_job(hub: HubServer, tmp_path: Path) -> None:
    tickets(tmp_path)
    path = tmp_path / "job.yaml"
    path.write_text(path.read_text().replace("all-MiniLM-L6-v2", "no-such-model"))

    with pytest.raises(SpecError, match=r"job.yaml:3: there is no model .*/no-such-model on"):
        prepared(load_job(path), hub, tmp_path)


def test_a_model_folder_travels_instead_of_a_download(hub: HubServer, tmp_path: Path) -> None:
    tickets(tmp_path)
    path = tmp_path / "job.yaml"
    model = f"model: {minilm_folder()}"
    path.write_text(path.read_text().replace(f"model: {MINILM_ID}", model))

    launch = prepared(load_job(path), hub, tmp_path).launch

    assert (launch.model_folder, launch.model_id) == (str(minilm_folder()), "")


def test_wishes_of_the_job_reach_the_launch_and_the_need(hub: HubServer, tmp_path: Path) -> None:
    more = "artifacts: {hold: 5m}\ncheckpoints: {every: 3m}\nimage: org/own:1\ntrust: secure\n"

    made = prepared(tickets(tmp_path, more), hub, tmp_path)

    assert (made.launch.hold_s, made.launch.checkpoint_every_s) == (300.0, 180.0)
    assert (made.launch.image, made.need.trust) == ("org/own:1", "secure")


def test_own_code_is_not_sized_and_the_plan_says_so(hub: HubServer, tmp_path: Path) -> None:
    made = prepared(own_code(tmp_path), hub, tmp_path)

    assert made.footprint is None and made.sizing == ()
    assert made.launch.image == DEFAULT_IMAGE and made.launch.command == ("python train.py",)
    assert made.launch.requirements == {} and "not known" in made.warnings[0]


@pytest.mark.parametrize(
    ("wish", "least"),
    [({"memory_gib": 8}, 7.0), ({"name": ["P4000"]}, 0.0), ({"allow_cpu": True}, 0.0)],
)
def test_own_code_gets_a_card_that_pytorch_dropped_only_where_it_names_it(
    hub: HubServer, tmp_path: Path, wish: dict[str, object], least: float
) -> None:
    made = own_code(tmp_path)
    job = made.model_copy(update={"gpu": made.gpu.model_validate(wish)})

    assert prepared(job, hub, tmp_path).need.compute_capability == least


def test_a_token_travels_only_for_a_model_that_strangers_cannot_have(tmp_path: Path) -> None:
    tickets(tmp_path, "secrets: [WANDB_API_KEY]\n")
    path = tmp_path / "job.yaml"
    open_model = load_job(path)
    path.write_text(path.read_text().replace(MINILM_ID, GATED_ID))
    gated = load_job(path)
    server = serve_hub(
        models=[
            HostedModel(MINILM_ID, minilm_folder()),
            HostedModel(GATED_ID, minilm_folder(), gated=True),
        ]
    )

    def prepared_with_token(job: Job) -> Material:
        cache_dir = tmp_path / "cache"
        return prepare(job, cache_dir=cache_dir, endpoint=server.url, token="hf_sim_reader")

    try:
        assert prepared_with_token(open_model).launch.secrets == ("WANDB_API_KEY",)
        made = prepared_with_token(gated)
    finally:
        server.close()
    assert made.launch.secrets == ("WANDB_API_KEY", "HF_TOKEN")
    assert (made.need.trust, made.need.has_secrets) == ("datacenter", True)


@pytest.mark.parametrize(
    ("more", "trust"),
    [
        ("secrets: [KEY_ONE]\n", "datacenter"),
        ("secrets: [KEY_ONE]\ntrust: secure\n", "secure"),
        ("secrets: [KEY_ONE]\ntrust: any\nallow_untrusted_secrets: true\n", "any"),
        ("trust: any\n", "any"),
    ],
)
def test_secrets_raise_the_trust_that_a_host_needs(
    hub: HubServer, tmp_path: Path, more: str, trust: str
) -> None:
    assert prepared(tickets(tmp_path, more), hub, tmp_path).need.trust == trust


CAUSAL_LM = """\
kind: finetune
name: writer
model: {model}
task: causal-lm
method: {method}
data: {{train: train.jsonl, eval: eval.jsonl}}
train: {{max_length: 64}}
"""


@pytest.mark.parametrize(("method", "capability"), [("lora", 7.5), ("qlora", 8.0), ("full", 7.5)])
def test_a_language_model_is_sized_by_its_method_and_its_columns_travel(
    hub: HubServer, tmp_path: Path, method: str, capability: float
) -> None:
    for split in ("train", "eval"):
        row = json.dumps({"question": f"why {split}?", "answer": "so"})
        (tmp_path / f"{split}.jsonl").write_text(f"{row}\n" * 3)
    path = tmp_path / "job.yaml"
    path.write_text(CAUSAL_LM.format(model=MINILM_ID, method=method))

    made = prepared(load_job(path), hub, tmp_path)

    assert made.launch.program == "causal-lm"
    assert made.launch.columns == {"instruction": "question", "output": "answer"}
    assert made.footprint is not None and made.footprint.method == method
    assert made.need.compute_capability == capability
    assert made.need.ram_gib == made.footprint.ram_gib > 4
    told = dict(made.sizing)
    assert told["tokens"].startswith("7 a row, the longest 7, of max_length 64")
    assert ("trained" in told) == (method != "full")


def test_texts_that_are_longer_than_max_length_are_told(hub: HubServer, tmp_path: Path) -> None:
    tickets(tmp_path)
    path = tmp_path / "job.yaml"
    path.write_text(path.read_text() + "train: {max_length: 8}\n")
    rows = [json.dumps({"text": "many words " * n, "label": "ab"[n % 2]}) for n in (1, 20, 30)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))

    made = prepared(load_job(path), hub, tmp_path)

    assert any("2 of 3 training rows are longer than max_length" in one for one in made.warnings)
