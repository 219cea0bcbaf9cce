from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from orchestrator.lifecycle.reading import Reading, read_as_model
from orchestrator.sizing.hub import ModelFacts
from orchestrator.sizing.shape import Shape
from orchestrator.spec.data import check_data
from orchestrator.spec.load import load_job
from tests.lifecycle.jobs import tickets

FACTS = ModelFacts(
    id="org/llama",
    revision="",
    parameters={"F32": 1000},
    is_estimate=False,
    shape=Shape(8, 1, 16, 100, 8, 64),
    model_type="llama",
    architectures=("LlamaForCausalLM",),
    weight_bytes=4000,
    download_bytes=4000,
    tokenizer_file="tokenizer.json",
)
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"
MARKED = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
CHAT = {"messages": [{"role": "user", "content": "a a"}, {"role": "assistant", "content": "a"}]}
JOB = """\
kind: finetune
name: writer
model: org/llama
task: causal-lm
data: {train: train.jsonl, eval: train.jsonl}
train: {max_length: 16SETTINGS}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return {"tokenizer.json": path}


def read(
    folder: Path,
    files: dict[str, Path],
    *rows: object,
    settings: str = "",
    template: str = "",
    facts: ModelFacts = FACTS,
) -> Reading:
    """How a model of 64 positions with this template reads these rows."""
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "job.yaml"
    path.write_text(JOB.replace("SETTINGS", settings))
    if template:
        (folder / "chat_template.jinja").write_text(template)
        files = {**files, "chat_template.jinja": folder / "chat_template.jinja"}
    job = load_job(path)
    report = check_data(job)
    assert not report.problems
    return read_as_model(job, report, facts, files)


def test_rows_are_counted_by_the_models_own_tokenizer(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    reading = read(tmp_path, files, {"text": "a a a"}, {"text": "a " * 30})

    assert reading.problems == () and reading.is_whole and reading.tokens is not None
    assert (reading.tokens.longest, reading.tokens.cut_rows) == (31, 1)
    assert reading.sentence == (
        "18 a row, the longest 31, of max_length 16; 1 rows are longer and are cut"
    )
    assert reading.warnings == (
        "1 of 2 training rows are longer than max_length: what is behind is not learned",
    )


def test_a_chat_template_adds_its_markers_to_each_message(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    reading = read(tmp_path, files, CHAT, template=PLAIN)
    assert reading.tokens is not None and reading.tokens.longest == 3 + 2 * 6


def test_without_a_tokenizer_file_nothing_is_counted(tmp_path: Path) -> None:
    assert read(tmp_path, {}, {"text": "a"}) == Reading()


def test_more_tokens_than_the_model_reads_are_refused_with_their_line(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    (problem,) = read(tmp_path, files, {"text": "a"}, settings="0").problems
    assert problem.endswith(
        "job.yaml:6: train.max_length: 160 tokens are more than the 64 of org/llama"
    )


@pytest.mark.parametrize(
    "row", [CHAT, {"prompt": CHAT["messages"][:1], "completion": CHAT["messages"][1:]}]
)
def test_conversations_need_a_chat_template(
    tmp_path: Path, files: dict[str, Path], row: object
) -> None:
    (problem,) = read(tmp_path, files, row).problems
    assert "job.yaml:3: the rows are conversations, and org/llama has no chat template" in problem


def test_the_assistants_words_need_markers(tmp_path: Path, files: dict[str, Path]) -> None:
    asked = ", assistant_only_loss: true"

    (problem,) = read(tmp_path, files, CHAT, settings=asked, template=PLAIN).problems
    assert "job.yaml:6: train.assistant_only_loss: the chat template of org/llama" in problem
    assert read(tmp_path, files, CHAT, settings=asked, template=MARKED).problems == ()


def test_plain_text_has_no_assistant(tmp_path: Path, files: dict[str, Path]) -> None:
    asked = ", assistant_only_loss: true"
    (problem,) = read(tmp_path, files, {"text": "a"}, settings=asked, template=MARKED).problems
    assert "nobody is the assistant in text rows" in problem


def test_instructions_become_conversations_where_there_is_a_template(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    row, asked = {"question": "a", "answer": "a"}, ", assistant_only_loss: true"

    (problem,) = read(tmp_path, files, row, settings=asked).problems
    assert "nobody is the assistant in instruction rows" in problem
    assert read(tmp_path, files, row, settings=asked, template=MARKED).problems == ()


def test_texts_to_classify_are_counted_too(tmp_path: Path, files: dict[str, Path]) -> None:
    job = tickets(tmp_path)
    facts = replace(FACTS, shape=Shape(8, 1, 16, 100, 8, 8))

    reading = read_as_model(job, check_data(job), facts, files)

    assert reading.problems == ()  # a classifier cuts what is longer than its positions
    assert reading.tokens is not None and reading.tokens.rows == 6


def test_a_model_that_is_not_made_to_write_is_doubted(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    encoder = replace(FACTS, architectures=("BertForMaskedLM",))

    (doubt,) = read(tmp_path, files, {"text": "a"}, facts=encoder).warnings

    assert doubt.startswith("org/llama is a BertForMaskedLM, which is not made to write")
