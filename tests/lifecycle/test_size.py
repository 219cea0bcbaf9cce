from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import UsageError
from orchestrator.lifecycle.size import SizeWish, size_model
from orchestrator.sizing.hub import ModelFacts
from orchestrator.sizing.shape import Shape

LLAMA = ModelFacts(
    id="org/llama-8b",
    revision="a" * 40,
    parameters={"BF16": 8_030_261_248},
    is_estimate=False,
    shape=Shape(4096, 32, 14336, 128256, 1024, 8192, tied=False),
    model_type="llama",
    architectures=("LlamaForCausalLM",),
    weight_bytes=16_060_522_496,
    download_bytes=16_070_000_000,
    tokenizer_file="tokenizer.json",
)
BERT = replace(
    LLAMA,
    id="org/bert",
    parameters={"F32": 22_713_216},
    shape=Shape(384, 6, 1536, 30522, 384, 512),
    architectures=("BertModel",),
    weight_bytes=90_868_376,
)


def cards_that_fit(facts: ModelFacts, wish: SizeWish) -> set[str]:
    return {card["gpu"] for card in size_model(facts, wish)["gpus"] if card["fits"]}


def test_a_language_model_is_sized_for_an_adapter_and_an_encoder_in_full() -> None:
    llama, bert = size_model(LLAMA, SizeWish()), size_model(BERT, SizeWish())

    assert (llama["method"], llama["writes"], llama["max_length"]) == ("lora", True, 1024)
    assert llama["trained_parameters"] == 41_943_040 and llama["checkpointing"]
    assert (bert["method"], bert["writes"], bert["max_length"]) == ("full", False, 256)
    assert not bert["checkpointing"]


def test_each_method_needs_less_than_the_one_before() -> None:
    full, lora, qlora = (
        size_model(LLAMA, SizeWish(method=method))["gpu_memory_gib"]
        for method in ("full", "lora", "qlora")
    )
    assert full > 130 > 40 > lora > 15 > qlora > 5


def test_an_encoder_is_sized_for_an_adapter_where_somebody_asks() -> None:
    sized = size_model(BERT, SizeWish(method="lora"))

    assert (sized["method"], sized["writes"], sized["checkpointing"]) == ("lora", False, False)
    assert sized["trained_parameters"] == 663_552  # peft's own count, but for the pooler
    memory = {part["part"]: part["bytes"] for part in sized["memory"]}
    assert memory["frozen weights, 16 bits"] == 2 * (22_713_216 + 384 * 2 + 2)  # and its head
    assert memory["adapter of r=16 with AdamW"] == 18 * 663_552
    assert 2 < sized["gpu_memory_gib"] < 4
    assert "T4" in cards_that_fit(BERT, SizeWish(method="lora"))


def test_cards_fit_by_memory_by_bfloat16_and_by_cuda() -> None:
    assert "RTX 4090" in cards_that_fit(LLAMA, SizeWish(method="lora"))
    assert "RTX 4090" not in cards_that_fit(LLAMA, SizeWish(method="full"))
    qlora = cards_that_fit(LLAMA, SizeWish(method="qlora"))
    assert "RTX A4000" in qlora
    assert not {"T4", "V100 SXM2 16GB", "MI300X"} & qlora


def test_a_card_for_which_the_programs_cuda_has_no_code_fits_nothing() -> None:
    notes = {card["gpu"]: card["note"] for card in size_model(BERT, SizeWish())["gpus"]}

    assert notes["T4"] == ""
    assert notes["V100 SXM2 16GB"] == notes["Quadro P6000"] == "too old for CUDA 13.0"


def test_work_and_time_grow_with_the_tokens() -> None:
    few, many = (size_model(LLAMA, SizeWish(tokens=n)) for n in (1_000_000, 10_000_000))

    assert many["flops"] == pytest.approx(10 * few["flops"], rel=0.01)
    assert few["flops"] == pytest.approx(4 * 7.5e9 * 1e6, rel=0.1)
    hours = {card["gpu"]: card["hours"] for card in few["gpus"]}
    assert hours["H100 SXM"] is not None and hours["RTX 4090"] is not None
    assert hours["H100 SXM"][0] < hours["RTX 4090"][0]
    assert hours["B300"] is None


def test_more_tokens_than_the_model_reads_are_refused() -> None:
    with pytest.raises(UsageError, match="org/bert reads 512 tokens, not 1024"):
        size_model(BERT, SizeWish(max_length=1024))
    with pytest.raises(UsageError, match="there is no method dora"):
        size_model(BERT, SizeWish(method="dora"))
