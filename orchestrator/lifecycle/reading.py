"""How the model will read the data: lengths in its tokens, its chat template, its context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from orchestrator.sizing.hub import ModelFacts
from orchestrator.spec.chat_template import read_chat_template, shows_assistant
from orchestrator.spec.data import DataReport, texts
from orchestrator.spec.examples import MARKERS_OF_A_MESSAGE, example_texts
from orchestrator.spec.job import Job
from orchestrator.spec.tokens import TokenReport, token_lengths

# Ends of the names of architectures that write text.
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_MOST_ROWS = 20_000  # counting them takes a second or two


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model makes of the data."""

    problems: tuple[str, ...] = ()  # each with its place in the job
    warnings: tuple[str, ...] = ()
    tokens: TokenReport | None = None  # of the training rows; None: not counted
    is_whole: bool = False  # every training row was counted

    @property
    def sentence(self) -> str:
        """Lengths in words; empty when nothing was counted."""
        if self.tokens is None or not self.tokens.rows:
            return ""
        tokens = self.tokens
        cut = f"; {tokens.cut_rows} rows are longer and are cut" if tokens.cut_rows else ""
        return (
            f"{tokens.mean:.0f} a row, the longest {tokens.longest}, of max_length "
            f"{tokens.max_length}{cut}"
        )


def read_as_model(
    job: Job, report: DataReport, facts: ModelFacts, files: Mapping[str, Path]
) -> Reading:
    """Check the data of one of our programs against the model's tokenizer.

    Args:
        files: of the tokenizer, see `sizing.hub.tokenizer_files`.

    Raises: SpecError when its tokenizer.json is none.
    """
    template = read_chat_template(
        files.get("chat_template.jinja"), files.get("tokenizer_config.json")
    )
    problems = tuple(_problems(job, report, facts, template)) if report.layout else ()
    if problems or "tokenizer.json" not in files or report.train is None:
        return Reading(problems)
    rows = islice(_rows(report, report.train.path, has_template=bool(template)), _MOST_ROWS)
    tokens = token_lengths(files["tokenizer.json"], rows, max_length=job.train.max_length)
    warnings = list(_doubts(job, facts))
    if tokens.cut_share > 0.01:
        among = f"{tokens.cut_rows} of {tokens.rows} training rows"
        warnings.append(f"{among} are longer than max_length: what is behind is not learned")
    return Reading((), tuple(warnings), tokens, is_whole=tokens.rows == report.train_rows)


def _rows(report: DataReport, path: Path, *, has_template: bool) -> Iterator[tuple[str, int]]:
    if not report.layout:
        for text in texts(path, report.text_column):
            yield text, 0
        return
    for text, messages in example_texts(path, report.roles):
        yield text, MARKERS_OF_A_MESSAGE * messages if has_template else 1  # 1: the end's token


def _doubts(job: Job, facts: ModelFacts) -> Iterator[str]:
    made = facts.architectures
    if job.task == "causal-lm" and made and not any(name.endswith(WRITERS) for name in made):
        yield f"{facts.id} is a {made[0]}, which is not made to write: is it the model you mean?"


def _problems(job: Job, report: DataReport, facts: ModelFacts, template: str) -> Iterator[str]:
    settings = job.train.to_settings()
    longest = job.train.max_length
    most = facts.shape.max_positions
    if most and longest > most:
        at = job.at("train", "max_length")
        yield f"{at}train.max_length: {longest} tokens are more than the {most} of {facts.id}"
    if report.is_chat and not template:
        at = job.at("model")
        yield (
            f"{at}the rows are conversations, and {facts.id} has no chat template: choose one that "
            "is made for chat, or write the rows as prompt and completion"
        )
    if not settings.get("assistant_only_loss"):
        return
    at = f"{job.at('train', 'assistant_only_loss')}train.assistant_only_loss: "
    is_chat = report.is_chat or (report.layout == "instruction" and template)
    if not is_chat:
        yield f"{at}nobody is the assistant in {report.layout} rows; leave it out"
    elif template and not shows_assistant(template):
        yield (
            f"{at}the chat template of {facts.id} does not mark what the assistant says "
            "({% generation %}), and TRL knows no other for it; leave it out, or write the rows as "
            "prompt and completion, which learns from completions alone"
        )
