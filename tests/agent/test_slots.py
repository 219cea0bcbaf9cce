from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent.protocol import SLOTS_FILE
from orchestrator.agent.slots import Slots

GIB = 1 << 30


def write(work: Path, keys: list[str], *, sign: str = "first", part_bytes: object = 4) -> None:
    slots = [{"key": key, "url": f"https://store/{key}?{sign}"} for key in keys]
    index = {"key": "index.json", "url": f"https://store/index.json?{sign}"}
    record = {"protocol": 1, "part_bytes": part_bytes, "index": index, "slots": slots}
    new = work / "new"
    new.write_text(json.dumps(record))
    new.replace(work / SLOTS_FILE)


def test_each_key_is_taken_once_until_it_is_free_again(tmp_path: Path) -> None:
    write(tmp_path, ["k1", "k2"])
    slots = Slots(tmp_path)

    assert [slots.take(), slots.take(), slots.take()] == ["k1", "k2", None]
    slots.keep(["k2"])

    assert [slots.take(), slots.take()] == ["k1", None]


def test_newer_urls_take_the_place_of_older_ones(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    assert (slots.take(), slots.url("k1"), slots.index_url) == (None, "", "")
    write(tmp_path, ["k1"])
    assert slots.look()
    assert not slots.look(), "nothing new"

    write(tmp_path, ["k1", "k2"], sign="second")

    assert slots.look()
    assert slots.url("k1") == "https://store/k1?second"
    assert slots.index_url == "https://store/index.json?second"
    assert [slots.take(), slots.take()] == ["k1", "k2"]


def test_parts_grow_when_few_keys_are_left_for_much(tmp_path: Path) -> None:
    write(tmp_path, [f"k{number}" for number in range(8)], part_bytes=GIB)
    slots = Slots(tmp_path)

    assert slots.part_bytes(2 * GIB) == GIB
    assert slots.part_bytes(8 * GIB) == 2 * GIB, "half of the free ones is kept for what else comes"
    slots.keep([f"k{number}" for number in range(7)])
    assert slots.part_bytes(3 * GIB) == 3 * GIB
    assert slots.part_bytes(50 * GIB) == 4 * GIB, "S3 takes no more than 5 GiB in one PUT"


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4))
def test_an_odd_file_gives_no_slot_and_no_fault(value: object) -> None:
    assert odd_take({"slots": value, "index": value, "part_bytes": value}) is None
    assert odd_take({"slots": [{"key": value, "url": 7}]}) is None


def odd_take(record: dict[str, object]) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / SLOTS_FILE).write_text(json.dumps(record))
        slots = Slots(Path(folder))
        assert slots.part_bytes(1) >= 1
        return slots.take()
