"""Can training tell the assistant's words from the rest? The chat template decides."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")

# Templates without markers for which TRL brings one with them, by the start of their sha256.
# Source: `get_training_chat_template` of trl 1.16.0; tests/jobs compares them with the locked one.
KNOWN_TO_TRL = {
    "90c33aee14aa2a22": "cohere",
    "2147c474f41b522b": "cohere2",
    "56a1447ad31926fd": "deepseek_r1_distill",
    "563b1ce7d61d50a9": "deepseekv3",
    "9aeb7eac68ad87bb": "diffusion_gemma",
    "ecd6ae513fe103f0": "gemma",
    "7de1c58e208eda46": "gemma3",
    "44f815868bf02fa4": "glm4moe",
    "a4c9919cbbd4acdd": "gptoss",
    "0d7e56ca41705b79": "idefics3",
    "cef187400d62a595": "lfm2",
    "5504d163d879bfb6": "lfm2_v2",
    "ba03a121d097859c": "llama3",
    "2c17243a977fd064": "llava_next",
    "cfc67e5f349f3769": "muse_glimmer",
    "ab7813c3abdd9cb6": "nemotron_3_nano",
    "575fb74f54ed264d": "nemotron_3_super",
    "82753bef5cedc493": "nemotron_3_ultra",
    "58933db77d3099b4": "nemotron_3_5_lightning",
    "dcaee66df77bfbb7": "phi3",
    "78d976a442bcde2f": "phi3_5",
    "cd8e9439f0570856": "qwen2_5",
    "a0bc6f6fc7a29a80": "qwen2_5_vl",
    "a55ee1b1660128b7": "qwen3",
    "64f85b198065d0fb": "qwen3_instruct_2507",
    "3636d0f0bd6bef02": "qwen3_vl",
    "273d8e0e683b8850": "qwen3_5_nothink",
    "a4aee8afcf2e0711": "qwen3_5_think",
    "e84f32a23fdda276": "qwen3_6",
    "c3cf9e34abf4f9e3": "qwen3_8",
    "830005085ddd94ce": "smolvlm",
}


def shows_assistant(template: str) -> bool:
    r"""Whether `assistant_only_loss` can be trained with this template.

    >>> shows_assistant("{% for m in messages %}{%- generation -%}{{ m }}{% endgeneration %}")
    True
    >>> shows_assistant("{% for m in messages %}{{ m.content }}{% endfor %}")
    False
    """
    if _MARKER.search(template):
        return True
    return hashlib.sha256(template.encode()).hexdigest()[:16] in KNOWN_TO_TRL


def read_chat_template(template_file: Path | None, tokenizer_config: Path | None) -> str:
    """The template that transformers would use; empty when there is none."""
    if template_file is not None:
        return template_file.read_text(encoding="utf-8", errors="replace")
    if tokenizer_config is None:
        return ""
    try:
        told = json.loads(tokenizer_config.read_bytes())
    except ValueError:
        return ""
    template = told.get("chat_template") if isinstance(told, dict) else None
    if isinstance(template, list):  # several, by name
        named = [one for one in template if isinstance(one, dict)]
        template = next((one.get("template") for one in named if one.get("name") == "default"), "")
    return template if isinstance(template, str) else ""
