from __future__ import annotations

import pytest

from orchestrator.spec.place import Place, parse_place


def test_a_place_has_no_slash_at_its_ends() -> None:
    place = parse_place("s3://results/team/a/")

    assert place == Place("results", "team/a")
    assert str(place.below("run-1", "00")) == "s3://results/team/a/run-1/00"
    assert str(parse_place("s3://results").below("x")) == "s3://results/x"


@pytest.mark.parametrize(
    "text",
    [
        *("s3://", "s3://b", "s3:/bucket/x", "https://bucket/x", "s3://Bucket/x"),
        *("s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/a\nb", "s3://bucket/é"),
        *("s3://a..b/x", "bucket", f"s3://bucket/{'x' * 600}"),
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must be|has a prefix)"):
        parse_place(text)
