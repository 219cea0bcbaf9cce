from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_unknown_findings_do_not_fail(gpulease: Gpulease, app: FakeApp, job_file: str) -> None:
    ended = gpulease("check", job_file)

    assert ended.code == 0
    assert "120 rows, 4 labels" in ended.out and "set HF_TOKEN" in ended.out


def test_a_bad_finding_is_exit_2_and_json_says_which(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    app.findings.append(("label", False, "7 rows have none", "give each row a label"))

    ended = gpulease("check", job_file, "--json")

    assert (ended.code, ended.json()["ok"]) == (2, False)
    assert ended.json()["checks"][-1] == {
        "what": "label",
        "ok": False,
        "finding": "7 rows have none",
        "fix": "give each row a label",
    }


def test_explain_says_which_rule_keeps_a_path(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    ended = gpulease("check", job_file, "--explain", "data/raw.npy")

    assert (ended.code, ended.out) == (0, "data/raw.npy is not sent: .gitignore:3: *.npy.\n")
    assert app.called("explain")[0][1] == "data/raw.npy"
    assert app.called("check") == []
    assert gpulease("check", job_file, "--explain", "x.npy", "--json").json() == {
        "schema": 1,
        "path": "x.npy",
        "sent": False,
        "why": ".gitignore:3: *.npy",
    }


def test_full_also_trains_the_first_batch_and_tells_of_it(
    gpulease: Gpulease, app: FakeApp, job_file: str
) -> None:
    plain, ended = gpulease("check", job_file), gpulease("check", job_file, "--full", "--json")

    assert "first batch" not in plain.out + plain.err
    assert ended.json()["checks"][-1]["what"] == "first batch"
    assert "first batch: training it on this CPU" in ended.err
