from __future__ import annotations

from orchestrator.spec.rules import broken_rules


def broken(written: dict[str, object]) -> list[str]:
    return [mistake.text for mistake in broken_rules(written)]


def test_a_job_without_anything_to_run_says_so_once() -> None:
    assert broken({}) == ["nothing to run: write `model`, `task` and `data`, or `code`"]


def test_a_model_needs_a_task_and_data() -> None:
    assert broken({"model": "a/b"}) == ["`task` is missing", "`data` is missing"]


def test_the_settings_of_our_programs_have_no_meaning_beside_own_code() -> None:
    found = broken(
        {"code": {}, "task": "x", "train": {}, "data": {"train": "x", "columns": {"text": "t"}}}
    )

    assert found == [
        "`task` has no meaning beside `code`: the command decides",
        "`train` has no meaning beside `code`: the command decides",
        "`data.columns` has no meaning beside `code`: the command decides",
    ]


def test_data_of_another_format_is_refused_by_its_name() -> None:
    written: dict[str, object] = {"model": "a", "task": "b", "data": {"train": "x.parquet"}}

    assert broken(written)[0].startswith("data.train: the name must end in one of .jsonl")
    assert broken({"code": {}, "data": {"train": "x.parquet"}}) == []


def test_a_name_is_clear_or_secret_never_both() -> None:
    found = broken({"code": {}, "env": {"A": "1"}, "secrets": ["A"]})

    assert found == ["env.A: also listed under `secrets`; keep one"]


def test_a_region_is_allowed_or_denied() -> None:
    found = broken({"code": {}, "regions": {"allow": ["EU"], "deny": ["EU"]}})

    assert found == ["regions: EU is both allowed and denied"]
