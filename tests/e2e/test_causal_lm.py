"""A language model is taught on a rented machine, and its adapter comes home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.simcloud.hub_llama import LLAMA_ID, tiny_llama
from orchestrator.spec.packaged import packaged
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person

pytestmark = [pytest.mark.slow, pytest.mark.training, pytest.mark.timeout(900)]

JOB = f"""\
kind: finetune
name: router
model: {LLAMA_ID}
task: causal-lm
method: lora
data: {{train: train.jsonl, eval: eval.jsonl}}
train:
  max_steps: 20
  max_length: 256
  learning_rate: 0.005
  gradient_checkpointing: false
  logging_steps: 2
gpu: {{allow_cpu: true}}
budget: {{max_cost: 1.00, max_duration: 30m}}
providers: [runpod]
"""


@pytest.fixture
def job(person: Person) -> str:
    """The job and its data, on the desk; the model is made before anybody asks for it."""
    tiny_llama()
    data = packaged("jobs") / "ticket-router" / "data"
    for split, rows in (("train", 80), ("eval", 8)):
        lines = (data / f"router.{split}.jsonl").read_text().splitlines(keepends=True)[:rows]
        person.writes(f"{split}.jsonl", "".join(lines))
    return person.writes("router.yaml", JOB).name


def test_an_adapter_is_trained_on_a_rented_machine_and_comes_home(
    person: Person, cloud: Cloud, job: str
) -> None:
    ended = person.types("submit", job, "--yes", "--json", limit_s=800)

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = ended.json()
    assert (receipt["outcome"], receipt["device"]) == ("succeeded", "cpu")
    metrics = receipt["metrics"]
    assert metrics["steps"] == 20 and metrics["eval_perplexity"] < 60
    home = Path(receipt["artifacts_dir"])
    log = [json.loads(line) for line in (home / "training_log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.6 * losses[0]
    paths = {one["path"] for one in receipt["artifacts"]}
    assert {"adapter/adapter_model.safetensors", "adapter/README.md", "log.txt"} <= paths
    config = json.loads((home / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == LLAMA_ID
    books_agree(receipt, person, cloud)


def test_check_and_size_know_the_model_before_anything_is_rented(
    person: Person, cloud: Cloud, job: str
) -> None:
    before = len(cloud.machines(person.home_id))

    checked = person.types("check", job)
    assert checked.code == 0, checked.out + checked.err
    assert "prompt-completion: prompt from prompt, completion from completion" in checked.out
    assert "tokens: " in checked.out and "adapter of r=16 with AdamW" in checked.out

    told = person.types("check", job, "--set", "train.max_length=4096")
    assert told.code == 2
    assert "4096 tokens are more than the 512 of simcloud/tiny-llama" in told.out
    told = person.types("check", job, "--set", "train.assistant_only_loss=true")
    assert told.code == 0, told.out

    sized = person.types("size", LLAMA_ID, "--json")
    assert sized.code == 0 and sized.json()["method"] == "lora"
    assert len(cloud.machines(person.home_id)) == before
