from __future__ import annotations

import pytest

from orchestrator.sizing.shape import Shape, to_shape

LLAMA_3_8B = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
DISTILBERT = {
    "dim": 768,
    "n_layers": 6,
    "n_heads": 12,
    "hidden_dim": 3072,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
}


def test_grouped_keys_and_values_are_narrower() -> None:
    assert to_shape(LLAMA_3_8B) == Shape(4096, 32, 14336, 128256, 1024, 8192)


def test_an_explicit_head_size_counts() -> None:
    shape = to_shape({**LLAMA_3_8B, "head_dim": 256})
    assert shape is not None and (shape.kv_size, shape.query_size) == (2048, 8192)


def test_a_head_of_its_own_is_a_second_table() -> None:
    tied, own = to_shape(LLAMA_3_8B), to_shape({**LLAMA_3_8B, "tie_word_embeddings": False})
    assert tied is not None and own is not None
    assert own.table_parameters == 2 * tied.table_parameters == 2 * 128256 * 4096


def test_distilbert_has_names_of_its_own() -> None:
    assert to_shape(DISTILBERT) == Shape(768, 6, 3072, 30522, 768, 512)


def test_the_text_part_of_a_model_that_also_sees_is_found() -> None:
    assert to_shape({"model_type": "gemma3", "text_config": LLAMA_3_8B}) == to_shape(LLAMA_3_8B)


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_what_is_no_transformer_has_no_shape(missing: str) -> None:
    assert to_shape({k: v for k, v in LLAMA_3_8B.items() if k != missing}) is None


@pytest.mark.parametrize("nonsense", [True, -1, "4096", None, 4096.5])
def test_nonsense_in_a_config_is_as_good_as_nothing(nonsense: object) -> None:
    assert to_shape({**LLAMA_3_8B, "hidden_size": nonsense}) is None
