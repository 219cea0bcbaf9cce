from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.program_environment import program_python
from orchestrator.sizing.memory import (
    GIB,
    Recipe,
    activation_bytes_per_token,
    adapter_parameters,
    margin_bytes,
    total_bytes,
    training_parts,
)
from orchestrator.sizing.shape import Shape
from orchestrator.spec.programs import load_program

QWEN_1_8B = Shape(2048, 24, 5504, 151936, 2048, 8192, tied=False)
QWEN_7B = Shape(4096, 32, 11008, 151936, 4096, 32768, tied=False)
MINILM = Shape(384, 6, 1536, 30522, 384, 512)
LLAMA_2_7B = Shape(4096, 32, 11008, 32000, 4096, 4096, tied=False)
SHAPES = {
    "Qwen-1.8B": QWEN_1_8B,
    "Qwen-7B": QWEN_7B,
    "Qwen-14B": Shape(5120, 40, 13696, 152064, 5120, 8192, tied=False),
    "Qwen-72B": Shape(8192, 80, 24576, 152064, 8192, 32768, tied=False),
    "Llama-2-7B": LLAMA_2_7B,
    "Llama-2-13B": Shape(5120, 40, 13824, 32000, 5120, 4096, tied=False),
}
N = 1_000_000_000


def published(source: str) -> list[dict[str, str]]:
    """Measured rows of one GPU that a source published of training by our recipe."""
    with (Path(__file__).parent / "vram_reference.csv").open() as handle:
        return [
            row
            for row in csv.DictReader(handle)
            if source in row["source"]
            and row["method"] != "inference"
            and row["gpus"] == "1"
            and "tier=measured" in row["note"]
        ]


def predicted_share(row: dict[str, str], *, r: int, fused_head: bool) -> float:
    """Our figure without a margin, by the published one."""
    recipe = Recipe(
        method=row["method"],
        batch=int(row["batch"]),
        tokens=int(row["seq_len"]),
        lora_r=r,
        checkpointing=row["grad_ckpt"] == "yes",
        fused_head=fused_head,
    )
    parameters = int(float(row["params_b"]) * 1e9)
    needed = total_bytes(training_parts(parameters, SHAPES[row["model"]], recipe))
    return needed / (float(row["reported_gb"]) * 1e9)


def test_adapters_on_all_linear_layers_are_near_what_was_measured() -> None:
    """Qwen's and LLaMA-Factory's tables: Trainer, AdamW, checkpointing, a plain head."""
    rows = [(row, 64) for row in published("QwenLM")] + [(r, 8) for r in published("LLaMA-Factory")]
    shares = [predicted_share(row, r=r, fused_head=False) for row, r in rows]

    assert len(shares) == 14
    assert min(shares) > 0.85 and max(shares) < 1.35
    assert sum(0.8 < share < 1.2 for share in shares) >= 0.8 * len(shares)


def test_with_its_margin_no_measured_run_is_left_short() -> None:
    rows = [(row, 64) for row in published("QwenLM")] + [(r, 8) for r in published("LLaMA-Factory")]
    for row, r in rows:
        share = predicted_share(row, r=r, fused_head=False)
        needed = share * float(row["reported_gb"]) * 1e9
        with_margin = (needed + margin_bytes(int(needed))) / needed * share
        assert with_margin > 0.95, row


def test_an_adapter_on_two_matrices_takes_less_than_ours_on_all() -> None:
    """LitGPT's table adapts queries and values alone, without checkpointing: a lower bound."""
    shares = [predicted_share(row, r=8, fused_head=True) for row in published("LitGPT")]

    assert len(shares) == 3
    assert min(shares) > 1.0 and max(shares) < 1.5


def test_float32_training_keeps_sixteen_bytes_of_each_parameter() -> None:
    """GPT-2 of 1.5B parameters: 24 GB of states (ZeRO, arXiv:1910.02054, section 3.1)."""
    parts = training_parts(1_500_000_000, QWEN_1_8B, Recipe(tokens=1), mixed=False)
    assert sum(size for _, size in parts[:3]) == 24e9


def test_mixed_precision_adds_sixteen_bit_copies() -> None:
    plain = training_parts(N, QWEN_1_8B, Recipe(tokens=0), mixed=False)
    mixed = training_parts(N, QWEN_1_8B, Recipe(tokens=0))
    assert total_bytes(mixed) - total_bytes(plain) == 2 * N


def test_a_base_is_frozen_in_two_bytes_or_in_half_a_byte() -> None:
    full, lora, qlora = (
        dict(training_parts(7_720_000_000, QWEN_7B, Recipe(method)))
        for method in ("full", "lora", "qlora")
    )
    assert lora["frozen weights, 16 bits"] == 2 * 7_720_000_000
    assert 0.25 < qlora["frozen weights, 4 bits"] / lora["frozen weights, 16 bits"] < 0.45
    assert total_bytes(full.items()) > 5 * total_bytes(lora.items())


@pytest.mark.parametrize(
    ("shape", "parameters", "r", "expected"),
    [
        # peft 0.21's own count for all-linear; of the BERT it counts 6,144 more, for its pooler.
        (LLAMA_2_7B, 6_738_415_616, 8, 19_988_480),
        (MINILM, 22_713_216, 8, 331_776),
    ],
)
def test_an_adapter_has_as_many_parameters_as_peft_makes(
    shape: Shape, parameters: int, r: int, expected: int
) -> None:
    assert adapter_parameters(parameters, shape, r) == expected


# One step of a small BERT on this CPU: weights, gradients and AdamW's moments, and what autograd
# keeps for the backward pass. Without dropout, for which a CPU keeps more than a GPU does.
COUNTS = """
import json, sys, torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

method, mixed = sys.argv[1], sys.argv[2] == "True"
config = BertConfig(
    vocab_size=3000, hidden_size=192, num_hidden_layers=6, num_attention_heads=6,
    intermediate_size=768, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)
model = BertForSequenceClassification(config)
parameters = sum(each.numel() for each in model.bert.parameters())
if method == "lora":
    model.to(torch.bfloat16)
    lora = LoraConfig(r=16, target_modules="all-linear", task_type="SEQ_CLS")
    model = get_peft_model(model, lora)
weights = list(model.train().parameters())
trained = [each for each in weights if each.requires_grad]
optimizer = torch.optim.AdamW(trained)
known, kept = {each.untyped_storage().data_ptr() for each in weights}, {}


def keep(tensor):
    storage = tensor.untyped_storage()
    if storage.data_ptr() not in known:
        kept[storage.data_ptr()] = storage.nbytes()
    return tensor


rows = torch.randint(0, 3000, (8, 128))
hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
with hooks, torch.autocast("cpu", torch.bfloat16, enabled=mixed):
    loss = model(input_ids=rows, labels=torch.zeros(8, dtype=torch.long)).loss
loss.backward()
optimizer.step()
moments = [each for state in optimizer.state.values() for each in state.values() if each.dim()]
held = [*weights, *(each.grad for each in trained), *moments]
states = sum(each.numel() * each.element_size() for each in held)
print(json.dumps({"parameters": parameters, "states": states, "kept": sum(kept.values())}))
"""


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("method", "autocast", "share"),
    [("full", False, 0.71), ("full", True, 0.82), ("lora", False, 0.62)],
)
def test_an_encoder_holds_its_states_and_less_activations_than_are_reckoned(
    method: str, autocast: bool, share: float
) -> None:
    """Counted by PyTorch on a CPU: nobody has published what one takes of a GPU."""
    python = program_python(load_program("causal-lm"))
    ran = subprocess.run(
        [python, "-c", COUNTS, method, str(autocast)], capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    shape = Shape(192, 6, 768, 3000, 192, 512)
    recipe = Recipe(method, batch=8, tokens=128, outputs=2)
    mixed = autocast or method == "lora"
    *parts, _cuda = training_parts(found["parameters"], shape, recipe, mixed=mixed)
    states = [size for name, size in parts if "activations" not in name and "copies" not in name]

    assert found["states"] / sum(states) == pytest.approx(1.0, abs=0.05)
    assert (found["states"] + found["kept"]) / total_bytes(parts) == pytest.approx(share, abs=0.02)


def test_activations_grow_with_rows_and_tokens() -> None:
    def activations(batch: int, tokens: int) -> int:
        recipe = Recipe(batch=batch, tokens=tokens, outputs=2)
        parts = dict(training_parts(N, MINILM, recipe))
        return parts[f"activations of {batch} × {tokens} tokens"]

    assert activations(16, 128) == 2 * activations(16, 64) == 4 * activations(8, 64)
    assert activations(1, 1) == activation_bytes_per_token(MINILM, mixed=True)


def test_checkpointing_leaves_one_layer_and_the_inputs_of_the_others() -> None:
    kept = activation_bytes_per_token(QWEN_7B, mixed=True)
    again = activation_bytes_per_token(QWEN_7B, mixed=True, checkpointing=True)
    assert kept / 32 < again < kept / 8


def test_a_fused_head_never_holds_all_logits() -> None:
    plain = Recipe(batch=8, tokens=4096, fused_head=False)
    logits = dict(training_parts(N, QWEN_7B, plain))["logits and loss"]
    fused = dict(training_parts(N, QWEN_7B, replace(plain, fused_head=True)))["logits and loss"]

    assert logits == 12 * 8 * 4096 * 151936
    assert fused < logits / 20


def test_float32_activations_are_wider() -> None:
    mixed = activation_bytes_per_token(MINILM, mixed=True)
    full = activation_bytes_per_token(MINILM, mixed=False)
    assert mixed < full < 2 * mixed


@pytest.mark.parametrize("needed_gib", [0, 1, 9, 10, 11, 80])
def test_the_margin_is_a_tenth_and_never_less_than_a_gib(needed_gib: int) -> None:
    margin = margin_bytes(needed_gib * GIB)
    assert margin == max(GIB, int(0.1 * needed_gib * GIB))
