from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.spec.job import FinetuneJob, Job, job_from_document
from orchestrator.spec.load import load_job
from orchestrator.spec.section import keys_of

GOLDEN = Path(__file__).parent / "golden"
PLACE = re.compile(r"(stdin:\d+|--set.*?): \S")


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(GOLDEN / "many-mistakes.yaml", folder)
    monkeypatch.chdir(folder)

    with pytest.raises(SpecError) as caught:
        load_job("many-mistakes.yaml")

    listing = str(caught.value).replace(str(folder), "FOLDER") + "\n"
    assert listing == (GOLDEN / "many-mistakes.txt").read_text()
    assert caught.value.exit_code == 2


def test_mistakes_come_with_what_to_do_once_they_are_corrected(load: Callable[..., Job]) -> None:
    with pytest.raises(SpecError) as caught:
        load("buget: 3\n")

    assert re.fullmatch(
        r"`gpulease check .*job.yaml` looks again, and spends nothing", caught.value.hint
    )


def test_a_job_knows_where_each_key_was_written(load: Callable[..., Job], folder: Path) -> None:
    job = load(sets=("gpu.memory_gib=24",))

    assert job.at("model") == f"{folder / 'job.yaml'}:3: "
    assert job.at("gpu", "memory_gib") == "--set gpu.memory_gib: "
    assert job.at("train") == f"{folder / 'job.yaml'}:1: "
    recorded = job_from_document(job.to_document())
    assert recorded == job and (recorded.at("model"), recorded.check_hint) == ("", "")


def test_a_job_may_come_from_standard_input(
    folder: Path, our_job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    assert load_job("-", stdin_text=our_job).folder == folder
    with pytest.raises(SpecError, match="stdin:1: the file is empty"):
        load_job("-")


def test_a_missing_job_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"absent.yaml: cannot be read: No such file") as caught:
        load_job(tmp_path / "absent.yaml")
    assert "gpulease init" in caught.value.hint
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_job(tmp_path)


def test_a_job_is_a_mapping(problems: Callable[..., list[str]]) -> None:
    for text in ("- a\n", "just words\n", "3\n"):
        assert problems(base=text) == [
            "job.yaml:1: a job is a mapping of keys to values, such as `kind: finetune`"
        ]


def test_set_overrides_in_order_and_reads_yaml(load: Callable[..., Job]) -> None:
    job = load(
        sets=(
            "budget.max_cost=3",
            "budget.max_cost=0.10",
            "providers=[local]",
            "gpu.allow_cpu=true",
            "train.learning_rate=1e-4",
            "env.A=b=c",
            "data.eval=",
        )
    )

    assert job.budget.max_cost_usd == Decimal("0.10")
    assert job.budget.max_duration_s == 3600
    assert job.providers == ("local",)
    assert job.gpu.allow_cpu
    assert job.train.learning_rate == 1e-4
    assert job.env == {"A": "b=c"}
    assert job.data is not None and job.data.eval is None


def test_set_goes_below_gpu_auto(load: Callable[..., Job]) -> None:
    assert load("gpu: auto\n", sets=("gpu.memory_gib=24",)).gpu.memory_gib == 24


def test_set_never_changes_what_an_anchor_shares(load: Callable[..., Job]) -> None:
    job = load("train: &x {seed: 1}\n", sets=("train.seed=2",))

    assert job.train.seed == 2


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("train.learning_rat=1", "--set train.learning_rat: unknown key `learning_rat`; did you"),
        ("train.seed=x", "--set train.seed: train.seed: must be a whole number, not text"),
        ("train", "--set: must be written as key=value or a.b=value"),
        ("=3", "--set: must be written as key=value or a.b=value"),
        ("name.x=3", "--set name.x: `name` is not a mapping: nothing is below it"),
        ("name=[", "--set name: not valid YAML"),
        ("folder=/etc", "--set folder: unknown key `folder`"),
        ("env.API_TOKEN=hunter2", "--set env.API_TOKEN: env.API_TOKEN: `API_TOKEN` looks like"),
    ],
)
def test_a_wrong_set_names_itself(
    problems: Callable[..., list[str]], setting: str, problem: str
) -> None:
    (found,) = problems(sets=(setting,))

    assert found.startswith(problem)
    assert "hunter2" not in found


def test_the_folder_is_not_the_files_to_say(problems: Callable[..., list[str]]) -> None:
    assert problems("folder: /etc\n") == ["job.yaml:7: unknown key `folder`"]


_words = st.sampled_from(
    ["auto", "text-classification", "lora", "runpod", "vast", "1h", "90", "s3://x", "./x", "~", ""]
)
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), _words
)
_inner = st.sampled_from(
    sorted(
        {
            key
            for info in FinetuneJob.model_fields.values()
            if isinstance(info.annotation, type) and hasattr(info.annotation, "model_fields")
            for key in keys_of(info.annotation)
        }
        | {"train", "eval", "columns", "path", "command", "requirements", "x", "\x1b[31m"}
    )
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_inner, inner, max_size=4),
    max_leaves=8,
)
_keys = st.sampled_from([*keys_of(FinetuneJob), "stage", "serve", "nmae"])
_documents = st.dictionaries(_keys, _values, max_size=10).map(
    lambda written: {"kind": "finetune", **written}
)


def refused_with_a_place_or_loaded(text: str, sets: tuple[str, ...] = ()) -> None:
    try:
        job = load_job("-", stdin_text=text, sets=sets)
    except SpecError as error:
        assert error.problems
        for problem in error.problems:
            assert PLACE.match(problem), problem
            assert problem.isprintable(), problem
    else:
        assert job_from_document(json.loads(json.dumps(job.to_document()))) == job


@settings(max_examples=300, deadline=None)
@given(_documents)
def test_any_document_is_a_job_or_refused_with_a_place(written: dict[str, object]) -> None:
    refused_with_a_place_or_loaded(json.dumps(written))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t~<.\\0\ufeff\x85"), max_size=60)
)
@example("%YAML 1.1\n---\na: on\n")
@example("a: |\n  x\n b: 1")
@example("!<tag:x> a")
@example("&a &b c")
@example("*a : 1")
@example("\ufeff")
@example("%TAG ! tag:x,2000:\n---\n!a b")
@example("- ? : ")
@example('"\\ud800"')
def test_any_text_is_a_job_or_refused_with_a_place(text: str) -> None:
    refused_with_a_place_or_loaded(text)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 400), junk=st.text(max_size=6))
def test_a_spoilt_job_is_refused_with_a_place(position: int, junk: str) -> None:
    text = (GOLDEN / "many-mistakes.yaml").read_text()

    refused_with_a_place_or_loaded(text[:position] + junk + text[position:])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_keys, _inner, st.text(max_size=8)), max_size=3))
def test_any_set_is_taken_or_refused_with_a_place(triples: list[tuple[str, str, str]]) -> None:
    sets = tuple(f"{outer}.{inner}={value}" for outer, inner, value in triples)

    refused_with_a_place_or_loaded("kind: finetune\n", sets)
