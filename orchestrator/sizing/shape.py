"""The shape of a transformer, from its config.json. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Our word → what families call it: BERT and Llama first, then GPT-2, DistilBERT, T5.
_NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "intermediate_size": ("intermediate_size", "n_inner", "hidden_dim", "d_ff", "ffn_dim"),
    "vocab_size": ("vocab_size",),
    "max_positions": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim", "d_kv"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What memory and FLOPs depend on beside the number of parameters."""

    hidden_size: int
    layers: int
    intermediate_size: int
    vocab_size: int
    kv_size: int  # kv_heads × head_dim: width of keys, and of values
    max_positions: int  # 0: no limit stated
    heads_size: int = 0  # heads × head_dim: width of queries; 0: that of `hidden_size`
    tied: bool = True  # tokens are looked up and predicted by one table

    @property
    def embedding_parameters(self) -> int:
        """Rows of the table that tokens are looked up in: they cost memory and no FLOPs."""
        return self.vocab_size * self.hidden_size

    @property
    def table_parameters(self) -> int:
        """The table of tokens, and the head where it is a table of its own."""
        return self.embedding_parameters * (1 if self.tied else 2)

    @property
    def query_size(self) -> int:
        """Width of queries, and of what attention gives back."""
        return self.heads_size or self.hidden_size


def to_shape(config: Mapping[str, object]) -> Shape | None:
    """The shape that a config.json states; None when it is not that of a transformer.

    >>> to_shape({"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257})
    Shape(hidden_size=768, layers=12, intermediate_size=3072, vocab_size=50257, kv_size=768, \
max_positions=0, heads_size=0, tied=True)
    """
    nested = config.get("text_config")  # models that also see or hear
    values = {
        name: _first(config, names) or (_first(nested, names) if isinstance(nested, dict) else 0)
        for name, names in _NAMES.items()
    }
    hidden, heads = values["hidden_size"], values["heads"]
    if not (hidden and values["layers"] and values["vocab_size"]):
        return None
    head_dim = values["head_dim"] or (hidden // heads if heads else 0)
    heads_size = heads * head_dim
    return Shape(
        hidden_size=hidden,
        layers=values["layers"],
        intermediate_size=values["intermediate_size"] or 4 * hidden,
        vocab_size=values["vocab_size"],
        kv_size=(values["kv_heads"] or heads) * head_dim or hidden,
        max_positions=values["max_positions"],
        heads_size=0 if heads_size == hidden else heads_size,
        tied=config.get("tie_word_embeddings") is not False,
    )


def _first(config: Mapping[str, object], names: tuple[str, ...]) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0
