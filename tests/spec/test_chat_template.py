from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from orchestrator.spec.chat_template import (
    KNOWN_TO_TRL,
    read_chat_template,
    shows_assistant,
)

MARKED = "{% generation %}{{ m.content }}{% endgeneration %}"


@pytest.mark.parametrize("opening", ["{% generation %}", "{%- generation -%}", "{%generation%}"])
def test_markers_of_generation_show_the_assistant(opening: str) -> None:
    assert shows_assistant(f"{opening}{{{{ m.content }}}}{{% endgeneration %}}")


def test_add_generation_prompt_is_no_marker() -> None:
    assert not shows_assistant("{% if add_generation_prompt %}assistant:{% endif %}")


def test_a_template_that_trl_knows_needs_no_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "{{ m.content }}"
    assert not shows_assistant(plain)

    digest = hashlib.sha256(plain.encode()).hexdigest()[:16]
    monkeypatch.setitem(KNOWN_TO_TRL, digest, "plain")

    assert shows_assistant(plain)


def config(folder: Path, content: object) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_template_file_wins(tmp_path: Path) -> None:
    own = tmp_path / "chat_template.jinja"
    own.write_text(MARKED)

    assert read_chat_template(own, config(tmp_path, {"chat_template": "x"})) == MARKED


@pytest.mark.parametrize(
    ("told", "template"),
    [
        ({"chat_template": MARKED}, MARKED),
        ({"chat_template": [{"name": "rag", "template": "x"}]}, ""),
        (
            {
                "chat_template": [
                    {"name": "rag", "template": "x"},
                    {"name": "default", "template": MARKED},
                ]
            },
            MARKED,
        ),
        ({"chat_template": ["default", 3, None]}, ""),
        ({"chat_template": 3}, ""),
        ({}, ""),
        ([], ""),
        ("{not json", ""),
    ],
)
def test_the_tokenizers_config_tells_it(tmp_path: Path, told: object, template: str) -> None:
    assert read_chat_template(None, config(tmp_path, told)) == template


def test_a_model_without_a_tokenizers_config_has_none() -> None:
    assert read_chat_template(None, None) == ""
