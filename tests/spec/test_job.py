from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from orchestrator.errors import SpecError
from orchestrator.spec.job import PROVIDERS, CausalLmJob, Job, job_from_document, job_hash
from orchestrator.spec.model import HubModel


def test_a_short_job_has_sane_defaults(load: Callable[..., Job], folder: Path) -> None:
    job = load()

    assert job.model == HubModel("sentence-transformers/all-MiniLM-L6-v2")
    assert job.data is not None
    assert job.data.train == folder / "train.jsonl"
    assert job.budget.max_cost_usd == Decimal("2.00")
    assert (job.budget.max_duration_s, job.artifacts.hold_s, job.checkpoints.every_s) == (
        3600,
        1800,
        900,
    )
    assert (job.trust, job.image, job.providers, job.method) == ("verified", "auto", (), "full")
    assert not job.is_own_code


def test_every_field_can_be_written(load: Callable[..., Job]) -> None:
    job = load(
        """
gpu: {name: [RTX 4090, L40S], count: 1, memory_gib: 24, allow_cpu: true}
providers: [runpod, local]
image: runpod/pytorch:2.8.0-py3.11
env: {WORDS: some, NUMBER: 5e-5, QUOTED: "yes"}
secrets: [WANDB_API_KEY]
setup: apt-get install -y git
regions: {allow: [EU-RO-1], deny: [US-TX-3]}
spot: false
trust: datacenter
checkpoints: {every: 30s}
artifacts: {keep: [model, metrics, logs], hold: 1h30m}
accept_unguarded: true
allow_untrusted_secrets: true
"""
    )

    assert job.gpu.names == ("RTX 4090", "L40S")
    assert job.gpu.memory_gib == 24
    assert job.env == {"WORDS": "some", "NUMBER": "5e-5", "QUOTED": "yes"}
    assert job.regions.deny == ("US-TX-3",)
    assert (job.checkpoints.every_s, job.artifacts.hold_s) == (30, 5400)
    assert job.artifacts.keep == ("model", "metrics", "logs")


def test_one_gpu_name_needs_no_list(load: Callable[..., Job]) -> None:
    assert load("gpu: {name: RTX 4090}\n").gpu.names == ("RTX 4090",)


def test_money_never_passes_through_a_binary_float(load: Callable[..., Job]) -> None:
    job = load(sets=("budget.max_cost=0.1",))

    assert job.budget.max_cost_usd == Decimal("0.1")


def test_own_code_needs_only_a_command(
    load: Callable[..., Job], own_code: str, folder: Path
) -> None:
    job = load(base=own_code)

    assert job.is_own_code
    assert job.code is not None
    assert job.code.path == folder
    assert job.model is None


def test_requirements_lie_below_the_code(
    problems: Callable[..., list[str]], load: Callable[..., Job], own_code: str, folder: Path
) -> None:
    (folder / "requirements.txt").write_text("numpy\n")

    assert load(base=own_code, sets=("code.requirements=requirements.txt",)).code is not None
    assert problems(base=own_code, sets=("code.requirements=../x.txt",)) == [
        "job.yaml:3: code: requirements must be a file below path"
    ]
    assert problems(base=own_code, sets=("code.requirements=absent.txt",)) == [
        "job.yaml:3: code: there is no requirements file `absent.txt` in path"
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("spot: only", "spot: must be true or false, not text"),
        ("stage: sft", "unknown key `stage` here; it belongs to `task: causal-lm`"),
        ("method: lora", "method: `lora` is not yet supported in this version; supported: full"),
        ("gpu: {count: 2}", "gpu.count: more than one GPU is not yet supported in this version"),
        ("artifacts: {to: s3://b}", "artifacts.to: must be s3://bucket or s3://bucket/prefix"),
        ("artifacts: {to: results/}", "artifacts.to: must be s3://bucket or s3://bucket/prefix"),
        (
            "providers: [loca]",
            "providers.0: cannot be `loca`: one of runpod, vast, lambda, paperspace, local, ssh_h",
        ),
        ("gpu: 4090", "gpu: must be `auto`, or a mapping such as"),
        ("name: last", "is written twice"),
        ("image: 'a b'", "image: must be `auto` or the name of a container image"),
        ("checkpoints: {every: 5s}", "checkpoints.every: must be 10s to 30d"),
        ("budget: {max_cost: 0}", "budget.max_cost: must be more than $0"),
        ("trust: friends", "trust: cannot be `friends`: one of verified, any, datacenter, secure"),
        ("accept_unguarded: yes", "accept_unguarded: must be true or false, not text"),
        ("env: {HF_TOKEN: hf_x}", "`HF_TOKEN` looks like a secret: list its name under `secrets`"),
        ("env: {GPULEASE_X: 1}", "names that start with GPULEASE_ are gpulease's own"),
        ("env: {A B: x}", "is not a name for an environment variable"),
        ("env: {DEBUG: true}", "env.DEBUG: must be text; put it in quotes"),
        ("env: {DEBUG: }", "env.DEBUG: must be text; put it in quotes"),
        ("secrets: WANDB_API_KEY", "secrets: must be a list, not text"),
        ("setup: ''", "setup: is empty"),
        ("max_cost: 2", "unknown key `max_cost` here; it belongs at `budget.max_cost`"),
    ],
)
def test_a_wrong_line_is_explained(
    problems: Callable[..., list[str]], line: str, problem: str
) -> None:
    found = problems(line + "\n")

    assert any(text.startswith("job.yaml:7: ") and problem in text for text in found), found


@pytest.mark.parametrize("kind", ["serve", "experiment"])
def test_kinds_to_come_are_refused_without_further_complaints(
    problems: Callable[..., list[str]], kind: str
) -> None:
    assert problems(base=f"kind: {kind}\nengine: auto\n") == [
        f"job.yaml:1: kind: `{kind}` is not yet supported in this version; supported: finetune"
    ]


def test_settings_of_a_task_to_come_are_not_called_unknown(
    problems: Callable[..., list[str]], our_job: str
) -> None:
    base = our_job.replace("text-classification", "embedding")

    assert problems("train: {packing: true}\n", base=base) == [
        "job.yaml:4: task: `embedding` is not yet supported in this version; "
        "supported: text-classification, causal-lm"
    ]


def test_a_language_model_has_keys_of_its_own(load: Callable[..., Job], our_job: str) -> None:
    base = our_job.replace("text-classification", "causal-lm")
    more = "stage: sft\ntrain: {lora_target_modules: [q_proj, v_proj], lora_r: 8, packing: true}\n"

    job = load(more, base=base)

    assert isinstance(job, CausalLmJob) and job.method == "lora"
    settings = job.train.to_settings()
    assert settings["lora_target_modules"] == "q_proj,v_proj"
    assert (settings["lora_r"], settings["packing"]) == (8, True)
    assert "learning_rate" not in settings and "merge_adapter" not in settings
    assert job_from_document(job.to_document()) == job


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("stage: dpo\n", "stage: `dpo` is not yet supported in this version; supported: sft"),
        ("method: loar\n", "method: cannot be `loar`: one of lora, qlora, full; did you mean"),
        (
            "method: full\ntrain: {lora_r: 8}\n",
            "train.lora_r: has no meaning with `method: full`, which has no adapter",
        ),
        ("train: {max_seq_len: 64}\n", "unknown key `max_seq_len`; it is called `max_length`"),
        ("train: {lora_rank: 8}\n", "unknown key `lora_rank`; it is called `lora_r` here"),
        ("train: {lora_dropout: 1}\n", "train.lora_dropout: must be less than 1"),
        ("train: {packing: 1}\n", "train.packing: must be true or false, not the number `1`"),
    ],
)
def test_a_wrong_key_of_a_language_model_is_explained(
    problems: Callable[..., list[str]], our_job: str, more: str, problem: str
) -> None:
    base = our_job.replace("text-classification", "causal-lm")

    (found,) = problems(more, base=base)

    assert problem in found and found.startswith("job.yaml:")


def test_columns_of_another_task_are_refused(
    problems: Callable[..., list[str]], our_job: str
) -> None:
    more = "{train: train.jsonl, columns: {label: x, text: y}}"
    base = our_job.replace("{train: train.jsonl, eval: eval.jsonl}", more)

    (found,) = problems(base=base.replace("text-classification", "causal-lm"))

    assert found.startswith("job.yaml:5: data.columns.label: has no meaning here; text, messages")


def test_a_value_of_the_environment_is_never_repeated(problems: Callable[..., list[str]]) -> None:
    found = problems("env: {API_TOKEN: hunter2, B: [hunter2]}\n")

    assert len(found) == 2
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize("more", ["", "train: {seed: 7}\ngpu: {name: [L4]}\nenv: {A: '1'}\n"])
def test_a_job_survives_the_store(load: Callable[..., Job], more: str) -> None:
    job = load(more)

    again = job_from_document(json.loads(json.dumps(job.to_document())))

    assert again == job
    assert job_hash(again) == job_hash(job)


def test_own_code_survives_the_store(load: Callable[..., Job], own_code: str) -> None:
    job = load("data: {train: train.jsonl}\n", base=own_code)

    assert job_from_document(json.loads(json.dumps(job.to_document()))) == job


def test_a_recorded_job_does_not_need_its_files_any_more(
    load: Callable[..., Job], folder: Path
) -> None:
    document = load().to_document()
    (folder / "train.jsonl").unlink()

    assert job_from_document(document).name == "tickets"


def test_a_spoilt_record_is_a_spec_error(load: Callable[..., Job]) -> None:
    with pytest.raises(SpecError, match="the recorded job: `name` is missing"):
        job_from_document({key: v for key, v in load().to_document().items() if key != "name"})
    with pytest.raises(SpecError, match="the recorded job has no folder"):
        job_from_document({})


def test_the_hash_follows_what_is_asked_for(load: Callable[..., Job]) -> None:
    assert job_hash(load()) == job_hash(load("trust: verified\n"))
    assert job_hash(load()) != job_hash(load(sets=("budget.max_cost=3",)))


def test_one_of_ones_own_hosts_is_named_after_a_colon() -> None:
    host = PROVIDERS.check("ssh_host:tower-2.lan")

    assert host == "ssh_host:tower-2.lan"
    for word in ("ssh_host:", "ssh_host:-x", "ssh_host:a/b", "local:x", "ssh_host:a\n"):
        with pytest.raises(PydanticCustomError):
            PROVIDERS.check(word)
