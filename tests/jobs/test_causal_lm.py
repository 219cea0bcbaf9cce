"""The program teaches a tiny Llama to write: by adapters and in full, through a kill too."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from orchestrator.sizing.hub import read_folder
from orchestrator.sizing.memory import adapter_parameters
from orchestrator.spec.chat_template import KNOWN_TO_TRL
from orchestrator.spec.packaged import packaged
from orchestrator.spec.programs import Program
from tests.jobs.machine import Machine, until

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = 30
LORA: dict[str, object] = {
    "max_steps": STEPS,
    "max_length": 256,
    "learning_rate": 0.005,
    "logging_steps": 1,
    "merge_adapter": True,
    "gradient_checkpointing": False,
}
NAME = "simcloud/tiny-llama@" + "a" * 40

Run = Callable[..., Machine]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def conversations() -> tuple[list[Any], list[Any]]:
    """Rows of the ticket router: to train on, to judge by."""
    folder = packaged("jobs") / "ticket-router" / "data"
    train, judged = (
        [json.loads(line) for line in (folder / f"router.{split}.jsonl").read_text().splitlines()]
        for split in ("train", "eval")
    )
    return train[:120], judged[:24]


@pytest.fixture(scope="module")
def make_machine(
    tmp_path_factory: pytest.TempPathFactory,
    language_program: Program,
    language_python: Path,
    tiny_llama: Path,
) -> Callable[..., Machine]:
    def make(
        train: list[Any], judged: list[Any], settings: dict[str, object], method: str = "lora"
    ) -> Machine:
        folder = tmp_path_factory.mktemp("machine")
        (folder / "data").mkdir()
        (folder / "data" / "train.jsonl").write_text(lines(train))
        (folder / "data" / "eval.jsonl").write_text(lines(judged))
        told: dict[str, object] = {
            "task": "causal-lm",
            "method": method,
            "model": NAME,
            "train": settings,
            "data": {"train": "data/train.jsonl", "eval": "data/eval.jsonl"},
        }
        return Machine(folder, language_program, language_python, tiny_llama, told)

    return make


@pytest.fixture(scope="module")
def run(make_machine: Callable[..., Machine]) -> Run:
    """A program that was started, and ended well."""

    def start(*arguments: Any, **options: Any) -> Machine:
        machine = make_machine(*arguments, **options)
        assert machine.start(checkpoint_every_s=900, usd_per_hour=0.69).wait(timeout=500) == 0, (
            machine.log
        )
        return machine

    return start


@pytest.fixture(scope="module")
def whole(run: Run, conversations: tuple[list[Any], list[Any]]) -> Machine:
    """LoRA without an interruption."""
    return run(*conversations, LORA)


@dataclass(frozen=True)
class Killed:
    machine: Machine
    at: int  # the newest complete checkpoint when SIGKILL came


@pytest.fixture(scope="module")
def killed(
    make_machine: Callable[..., Machine], conversations: tuple[list[Any], list[Any]]
) -> Killed:
    machine = make_machine(*conversations, LORA)
    process = machine.start(checkpoint_every_s=0.05)
    until(lambda: len(machine.checkpoints()) >= 2, process, limit_s=300)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    at = int(machine.checkpoints()[-1].name[5:])
    assert machine.start(checkpoint_every_s=900).wait(timeout=500) == 0, machine.log
    return Killed(machine, at)


def losses(machine: Machine) -> dict[int, float]:
    """Step → loss of what was trained and kept."""
    text = (machine.folder / "output" / "training_log.jsonl").read_text()
    history = [json.loads(line) for line in text.splitlines()]
    return {entry["step"]: entry["loss"] for entry in history if "loss" in entry}


def test_the_loss_falls_and_perplexity_is_its_exponential(whole: Machine) -> None:
    trained, metrics = losses(whole), whole.metrics

    assert sorted(trained) == list(range(1, STEPS + 1))
    assert sum(trained[n] for n in range(STEPS - 4, STEPS + 1)) / 5 < 0.35 * trained[1]
    assert metrics["eval_loss"] < 1.5
    assert metrics["eval_perplexity"] == pytest.approx(2.718281828 ** metrics["eval_loss"])
    assert metrics["eval_mean_token_accuracy"] > 0.7
    assert (metrics["steps"], metrics["train_rows"], metrics["eval_rows"]) == (STEPS, 120, 24)


def test_the_adapter_is_as_large_as_it_was_sized(whole: Machine, tiny_llama: Path) -> None:
    facts = read_folder(tiny_llama)
    expected = adapter_parameters(facts.total_parameters, facts.shape, 16)
    assert whole.metrics["trained_parameters"] == expected


def test_progress_tells_tokens_and_their_speed(whole: Machine) -> None:
    steps = [event for event in whole.events if "loss" in event]
    wanted = {"loss", "learning_rate", "samples_per_s", "tokens_per_s", "tokens", "eta_s"}

    assert all(wanted <= event.keys() for event in steps)
    assert steps[-1]["tokens"] == whole.metrics["tokens"]
    assert [event["metrics"] for event in whole.events if "metrics" in event][-1] == {
        name: pytest.approx(whole.metrics[name])
        for name in ("eval_loss", "eval_perplexity", "eval_mean_token_accuracy")
    }


def test_a_killed_run_ends_where_an_uninterrupted_one_does(whole: Machine, killed: Killed) -> None:
    ours, theirs = losses(killed.machine), losses(whole)

    assert 0 < killed.at < STEPS
    assert f"resuming from step-{killed.at}\n" in killed.machine.log
    assert ours == theirs
    assert killed.machine.metrics == whole.metrics  # tokens too, although it counted twice


def test_the_adapters_of_both_are_equal_to_the_last_bit(whole: Machine, killed: Killed) -> None:
    name = "output/adapter/adapter_model.safetensors"
    assert (killed.machine.folder / name).read_bytes() == (whole.folder / name).read_bytes()


LOADS = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, output = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(f"{output}/adapter")
rows = [json.loads(line)["prompt"] for line in sys.stdin]
texts = [tokenizer.apply_chat_template(r, add_generation_prompt=True, tokenize=False) for r in rows]
inputs = [tokenizer(text, return_tensors="pt") for text in texts]
plain = AutoModelForCausalLM.from_pretrained(base, dtype="float32").eval()
merged = AutoModelForCausalLM.from_pretrained(f"{output}/model", dtype="float32").eval()
with torch.no_grad():
    before = [plain(**one).logits for one in inputs]
    adapted = PeftModel.from_pretrained(plain, f"{output}/adapter").eval()
    with_adapter = [adapted(**one).logits for one in inputs]
    apart = max(float((a - merged(**o).logits).abs().max()) for a, o in zip(with_adapter, inputs))
    moved = max(float((a - b).abs().max()) for a, b in zip(with_adapter, before))
    said = adapted.generate(**inputs[0], max_new_tokens=24, do_sample=False)
print(json.dumps({"apart": apart, "moved": moved,
    "said": tokenizer.decode(said[0, inputs[0]["input_ids"].shape[1]:], skip_special_tokens=True)}))
"""


def test_the_adapter_loads_with_peft_and_the_merged_model_says_the_same(
    whole: Machine,
    language_python: Path,
    tiny_llama: Path,
    conversations: tuple[list[Any], list[Any]],
) -> None:
    ended = subprocess.run(
        [language_python, "-c", LOADS, tiny_llama, whole.folder / "output"],
        input=lines(conversations[1][:3]),
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ended.stdout)

    assert found["moved"] > 1.0
    assert found["apart"] < 1e-3
    assert found["said"].startswith('{"team": "')


def test_the_adapter_names_its_base_as_the_hub_does(whole: Machine) -> None:
    config = json.loads((whole.folder / "output/adapter/adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == tuple(NAME.split("@"))
    assert config["inference_mode"] is True
    assert "UserWarning" not in whole.log


def test_the_cards_say_data_settings_figures_and_cost(whole: Machine) -> None:
    for folder, library in (("adapter", "peft"), ("model", "transformers")):
        card = (whole.folder / "output" / folder / "README.md").read_text()

        assert f"library_name: {library}\n" in card
        assert "base_model: simcloud/tiny-llama\n" in card
        assert "`train.jsonl`: 120 rows; `eval.jsonl`: 24 rows, never trained on" in card
        assert "| lora_r | 16 |" in card and "| method | lora |" in card
        assert f"| steps | {STEPS} |" in card and "eval_perplexity" in card
        (usd,) = re.findall(
            r"Cost: \$([\d.]+) until this card was written, at \$0.69 an hour", card
        )
        assert 0.25 < float(usd) < 0.25 + 0.69 * 500 / 3600
        assert "gpulease receipt" in card and "apply_chat_template" in card
        assert str(whole.folder) not in card


def test_a_full_training_of_packed_messages_learns_from_the_assistant_alone(
    run: Run, conversations: tuple[list[Any], list[Any]]
) -> None:
    chance = random.Random(5)
    train, judged = (
        [
            {
                "messages": [
                    {"role": "user", "content": "".join(chance.choices(ascii_lowercase, k=100))},
                    *row["completion"],
                ]
            }
            for row in rows
        ]
        for rows in conversations
    )
    settings: dict[str, object] = {
        "num_train_epochs": 2,
        "max_length": 512,
        "packing": True,
        "assistant_only_loss": True,
        "learning_rate": 0.002,
        "logging_steps": 1,
    }

    machine = run(train, judged, settings, method="full")

    trained = losses(machine)
    assert len(trained) < 2 * len(train) / 4 / 2  # packed: far fewer sequences than rows
    # The user writes letters drawn by lot: whoever learns them too stays above a loss of 2.
    assert trained[max(trained)] < 0.7
    assert machine.metrics["eval_loss"] < 0.7
    assert {path.name for path in (machine.folder / "output").iterdir()} == {
        "model",
        "training_log.jsonl",
    }
    assert machine.metrics["trained_parameters"] > 400_000


def test_instructions_on_a_base_of_four_bits(
    run: Run, conversations: tuple[list[Any], list[Any]]
) -> None:
    train, judged = (
        [
            {"question": row["prompt"][1]["content"], "answer": row["completion"][0]["content"]}
            for row in rows
        ]
        for rows in conversations
    )
    settings = {**LORA, "max_steps": 12, "lora_r": 8}

    machine = run(train, judged, settings, method="qlora")

    trained = losses(machine)
    assert trained[12] < 0.8 * trained[1]
    card = (machine.folder / "output" / "adapter" / "README.md").read_text()
    assert "Recognised as instruction: `question` as instruction, `answer` as output." in card
    assert (machine.folder / "output" / "model" / "model.safetensors").stat().st_size > 1_500_000


def test_a_rehearsal_of_plain_texts_is_one_step_and_everything_that_follows(
    make_machine: Callable[..., Machine], conversations: tuple[list[Any], list[Any]]
) -> None:
    texts = [[{"text": json.dumps(row)} for row in rows] for rows in conversations]
    machine = make_machine(*texts, {**LORA, "gradient_accumulation_steps": 8})
    machine.settings["rehearse"] = True
    (machine.folder / "settings.json").write_text(json.dumps(machine.settings))

    assert machine.start(checkpoint_every_s=900).wait(timeout=500) == 0, machine.log

    assert (machine.metrics["steps"], machine.metrics["eval_rows"]) == (1, 4)
    assert list(losses(machine)) == [1]
    for folder in ("adapter", "model"):
        card = (machine.folder / "output" / folder / "README.md").read_text()
        assert "Cost: not known" in card and "Recognised as text" in card


KNOWN = """
import hashlib, inspect, json, re
import trl.chat_template_utils as utils
names = re.findall(r"chat_template == (\\w+)", inspect.getsource(utils.get_training_chat_template))
starts = [hashlib.sha256(getattr(utils, name).encode()).hexdigest()[:16] for name in names]
short = [name.removesuffix("_chat_template") for name in names]
print(json.dumps(dict(zip(starts, short))))
"""


def test_the_templates_that_trl_knows_are_the_ones_that_check_lets_pass(
    language_python: Path,
) -> None:
    printed = subprocess.run(
        [language_python, "-c", KNOWN], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed.splitlines()[-1]) == KNOWN_TO_TRL
