from __future__ import annotations

from orchestrator.lifecycle.size import SizeWish
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_memory_comes_by_part_with_the_cards_that_have_room(gpulease: Gpulease) -> None:
    ended = gpulease("size", "org/llama-8b", "--max-length", "2048")

    assert ended.code == 0
    assert "org/llama-8b: LoRA" in ended.out
    assert "frozen weights, 16 bits" in ended.out and "15.0 GiB" in ended.out
    assert "adapter of r=16 with AdamW" in ended.out and "margin: 10 %" in ended.out
    assert "RAM of the host" in ended.out and "FLOPs for 1,000,000 tokens" in ended.out
    lines = ended.out.splitlines()
    assert any("fits" in line and "RTX A6000" in line for line in lines)
    assert any("no " in line and "T4" in line and "GiB short" in line for line in lines)


def test_options_are_the_wish(gpulease: Gpulease, app: FakeApp) -> None:
    options = ["--method", "qlora", "--batch", "2", "--lora-r", "64", "--tokens", "5000"]
    ended = gpulease("size", "org/llama-8b", *options, "--no-gradient-checkpointing", "--json")

    assert ended.code == 0
    wish = SizeWish("qlora", None, 2, 64, 5000, checkpointing=False)
    assert app.called("size") == [("org/llama-8b", wish)]
    view = ended.json()
    assert (view["schema"], view["method"], view["tokens"]) == (1, "qlora", 5000)
    assert sum(part["bytes"] for part in view["memory"]) <= view["gpu_memory_gib"] * 2**30
    assert {card["gpu"]: card for card in view["gpus"]}["T4"]["note"] == "no bfloat16"


def test_a_method_that_does_not_exist_is_a_usage_error(gpulease: Gpulease) -> None:
    ended = gpulease("size", "org/llama-8b", "--method", "dora")

    assert ended.code == 2
    assert "there is no method dora" in ended.err and "full, lora, qlora" in ended.err
