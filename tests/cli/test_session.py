from __future__ import annotations

import io

import pytest

from orchestrator.cli.blocks import Text
from orchestrator.cli.options import GlobalOptions
from orchestrator.cli.session import Session
from tests.cli.fake_app import FakeApp


def session(*, json: bool = False) -> Session:
    return Session(GlobalOptions(json=json), lambda settings: FakeApp())


@pytest.mark.usefixtures("home")
def test_the_answer_is_a_page_or_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    session().result({"a": 1}, [Text("page")])
    session(json=True).result({"a": "\x1b[31m"}, [Text("page")])

    out, err = capsys.readouterr()
    assert out == '  page\n{"a": "\\u001b[31m"}\n'
    assert err == ""


@pytest.mark.usefixtures("home")
def test_the_way_to_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    session().aside([Text("plan")])
    session().note("a\x1b[31mb")
    session().alarm("bad", "better")

    out, err = capsys.readouterr()
    assert out == ""
    assert err == "  plan\nab\nerror: bad\nhint: better\n"


def test_nobody_is_there_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert not session().interactive


def test_the_run_in_hand_is_remembered_for_errors(home: object) -> None:
    ours = session()
    ours.find("last")

    assert ours.run_id == "runid123"
    assert ours.seen_file == ours.settings.home / "seen" / "runid123"
