"""A language model is taught on a rented machine, and its adapter comes home."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.program_environment import program_python
from infra.simcloud.hub_llama import LLAMA_ID, tiny_llama
from orchestrator.spec.packaged import packaged
from orchestrator.spec.programs import load_program
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.kills import CHECKPOINTS, killing, losses
from tests.e2e.person import Person
from tests.providers.ssh_host.workstation import Workstation

pytestmark = [pytest.mark.slow, pytest.mark.training, pytest.mark.timeout(1800)]

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

LOADS = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="float32").eval()
tokens = torch.arange(8).unsqueeze(0)
with torch.no_grad():
    before = model(tokens).logits
    after = PeftModel.from_pretrained(model, sys.argv[2]).eval()(tokens).logits
print(float((after - before).abs().max()))
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
    trained = losses(receipt)
    assert trained[20] < 0.6 * trained[2]
    paths = {one["path"] for one in receipt["artifacts"]}
    assert {"adapter/adapter_model.safetensors", "adapter/README.md", "log.txt"} <= paths
    config = json.loads((home / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == LLAMA_ID
    card = (home / "adapter/README.md").read_text()
    (usd,) = re.findall(r"Cost: \$([\d.]+) until this card was written", card)
    assert 0 < float(usd) < float(receipt["spent_upper_usd"])
    books_agree(receipt, person, cloud)
    assert moves_the_base(home) > 0.1


def moves_the_base(home: Path) -> float:
    """Load the adapter with PEFT: how far it moves what the base says."""
    loaded = subprocess.run(
        [program_python(load_program("causal-lm")), "-c", LOADS, tiny_llama(), home / "adapter"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    return float(loaded.stdout)


def test_check_and_size_know_the_model_before_anything_is_rented(
    person: Person, cloud: Cloud, job: str
) -> None:
    before = len(cloud.machines(person.home_id))

    checked = person.types("check", job)
    assert checked.code == 0, checked.out + checked.err
    assert "prompt-completion: prompt from prompt, completion from completion" in checked.out
    assert "tokens: " in checked.out and "adapter of r=16 with AdamW" in checked.out

    told = person.types("check", job, "--set", "train.max_length=4096", "--json")
    assert told.code == 2
    assert "4096 tokens are more than the 512 of simcloud/tiny-llama" in told.out
    told = person.types("check", job, "--set", "train.assistant_only_loss=true")
    assert told.code == 0, told.out

    sized = person.types("size", LLAMA_ID, "--json")
    assert sized.code == 0 and sized.json()["method"] == "lora"
    assert len(cloud.machines(person.home_id)) == before


def kills_by_login(person: Person, label: str) -> None:
    ended = person.types("ssh", "last", "--", killing(label), limit_s=560)
    assert ended.code == 0, ended.err


def kills_here(person: Person, label: str) -> None:
    env = person.env | {"HOME": str(person.home)}
    subprocess.run(["sh", "-c", killing(label)], env=env, timeout=560, check=True)


@pytest.mark.parametrize(
    ("provider", "kills"),
    [("runpod", kills_by_login), ("local", kills_here), ("ssh_host", kills_by_login)],
)
def test_a_killed_training_goes_on_with_the_losses_of_an_uninterrupted_one(
    provider: str,
    kills: Callable[[Person, str], None],
    person: Person,
    training_tower: Workstation,
    job: str,
) -> None:
    person.config.write_text(training_tower.config())
    untouched = training_tower.listing()
    text = (person.desk / job).read_text()
    text = text.replace("max_steps: 20", "max_steps: 12").replace("steps: 2", "steps: 1")
    person.writes(job, text + CHECKPOINTS)
    on = ("--provider", provider)
    whole = person.types("submit", job, *on, "--yes", "--json", limit_s=600)
    assert whole.code == 0, whole.err + person.driver_log()

    person.submits(job, *on)
    person.waits_for_state("setting_up", limit_s=600)
    kills(person, person.view()["machines"][0]["label"])
    ended = person.types("attach", "last", limit_s=600)

    assert ended.code == 0, ended.err + person.driver_log()
    receipt, expected = person.view(), whole.json()
    assert receipt["provider"].partition(":")[0] == provider
    (told,) = (note for note in receipt["notes"] if "was killed by SIGKILL" in note)
    step = int(told.rpartition(" ")[2])
    assert f"resuming from step-{step}\n" in Path(receipt["log"]).read_text()
    assert sorted(losses(receipt)) == list(range(1, 13))
    assert losses(receipt) == losses(expected)
    assert losses(receipt)[12] < 0.8 * losses(receipt)[1]
    assert receipt["metrics"] == expected["metrics"]
    assert adapter(receipt) == adapter(expected)
    assert receipt["returned"]["proven"] is True
    assert moves_the_base(Path(receipt["artifacts_dir"])) > 0.05
    assert training_tower.listing() == untouched


def adapter(receipt: dict[str, Any]) -> bytes:
    """The trained weights that came home."""
    return Path(receipt["artifacts_dir"], "adapter/adapter_model.safetensors").read_bytes()
