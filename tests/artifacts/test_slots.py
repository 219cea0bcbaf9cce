from __future__ import annotations

from orchestrator.artifacts.slots import slot_count, slot_key, slots_record


def test_each_slot_is_signed_for_its_own_key_and_until_the_end() -> None:
    signed: list[tuple[str, int]] = []

    def sign(key: str, seconds: int) -> str:
        signed.append((key, seconds))
        return f"https://store/{key}"

    record = slots_record(sign, count=3, until_s=1100.0, now_s=100.0)

    assert signed == [("index.json", 1000)] + [(slot_key(n), 1000) for n in (1, 2, 3)]
    assert record["ends_at"] == 1100.0
    assert record["slots"] == [
        {"key": f"parts/0000{n}", "url": f"https://store/parts/0000{n}"} for n in (1, 2, 3)
    ]


def test_the_pool_has_a_limit_and_takes_ever_larger_parts_beyond_it() -> None:
    assert slot_count(100 << 40) == 2000
