from __future__ import annotations

import re
from xml.etree import ElementTree

import pyte
import pytest
from rich.text import Text

from infra.pictures.drawing import to_svg, to_text, without_place
from tests.conventions.source import PROJECT

PICTURES = sorted((PROJECT / "infra" / "pictures").glob("*.svg"))
SHOWN = {
    "plan": ["Offers,", "worst", "What", "guards"],
    "live": ["running", "step", "loss", "spent"],
    "receipt": ["succeeded", "proven", "eval_accuracy", "sha256"],
}


def words(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")


def screen(*lines: str) -> pyte.Screen:
    made = pyte.Screen(40, 5)
    pyte.Stream(made).feed("\r\n".join(lines))
    return made


def test_a_screen_keeps_its_colours_and_loses_its_empty_end() -> None:
    text = to_text(screen("\x1b[32mgone\x1b[0m, \x1b[1mfor good\x1b[0m", "\x1b[33mmind\x1b[0m"))

    assert text.plain == "gone, for good\nmind"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles["gone"] == "green"
    assert styles["for good"] == "bold"
    assert styles["mind"] == "yellow"


def test_a_picture_loads_nothing_and_names_no_place() -> None:
    text = without_place(Text("home: /tmp/x1/runs, and /tmp/x1"), "/tmp/x1")

    svg = to_svg(text, "gpulease plan", columns=40)

    assert "home: ~/runs, and ~" in words(svg)
    assert "@font-face" not in svg and "url(http" not in svg


@pytest.mark.parametrize("name", SHOWN)
def test_the_readme_shows_each_picture_and_it_shows_its_page(name: str) -> None:
    path = PROJECT / "infra" / "pictures" / f"{name}.svg"
    svg = path.read_text(encoding="utf-8")
    told = words(svg)

    assert f"infra/pictures/{name}.svg" in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert not [word for word in SHOWN[name] if word not in told]
    assert path.stat().st_size < 60_000
    assert not re.findall(r"/(?:tmp|root|home)/|127\.0\.0\.1|localhost", told)


def test_there_is_no_other_picture() -> None:
    assert [path.stem for path in PICTURES] == sorted(SHOWN)
