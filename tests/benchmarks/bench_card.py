"""What a card really does: tokens a second, MFU and peak memory, beside what sizing forecasts.

`python -m tests.benchmarks card` trains a decoder of 0.4 B random parameters by the causal-lm
program itself, in three ways, and adds a line for each to `tests/sizing/throughput_reference.csv`.
Rate and memory are the program's own figures; FLOPs and the card's peak are those that a plan is
made with.
Where no card answers nothing is measured and nothing is written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from infra.program_environment import program_python
from infra.simcloud.hub_llama import tiny_llama
from orchestrator.sizing.shape import to_shape
from orchestrator.spec.programs import load_program
from tests.benchmarks.ratio import Row, Unmeasured
from tests.benchmarks.throughput import (
    Decoder,
    Forecast,
    Measured,
    Way,
    append,
    forecast,
    rate_of,
    record,
)

RECORDS = Path(__file__).parent.parent / "sizing" / "throughput_reference.csv"
DECODER = {
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
STEPS, LOG_STEPS = 60, 10
_CHARS_PER_TOKEN = 16  # no token of the tiny tokenizer is longer: every row fills its sequence
_LIMIT_S = 1800
_MAKES = """
import json, sys
import peft, torch, transformers, trl
folder, words, config = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokenizer = transformers.AutoTokenizer.from_pretrained(words)
ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
config = transformers.LlamaConfig(**config, **ends, pad_token_id=tokenizer.pad_token_id)
transformers.set_seed(0)
model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
versions = {one.__name__: one.__version__ for one in (torch, transformers, trl, peft)}
print(json.dumps({"parameters": model.num_parameters(), "versions": versions}))
"""


WAYS = (Way("lora", 8, 1024), Way("full", 4, 1024), Way("lora", 4, 4096, checkpointing=True))


def rows() -> Iterator[Row | Unmeasured]:
    driver = _driver()
    if not driver:
        yield Unmeasured("tokens/s, MFU and peak memory on a card", "no NVIDIA card answers here")
        return
    python = program_python(load_program("causal-lm"), "cuda")
    with tempfile.TemporaryDirectory(prefix="gpulease-bench-") as place:
        decoder = make_decoder(python, Path(place), DECODER, {"driver": driver})
        for way in WAYS:
            measured = measure(python, Path(place), way, device="cuda", steps=STEPS)
            expected = forecast(way, decoder, measured)
            append(RECORDS, record(way, decoder, measured, expected, time.time()))
            yield from _shown(way, measured, expected)


def make_decoder(
    python: Path, desk: Path, config: Mapping[str, object], versions: Mapping[str, str]
) -> Decoder:
    """A model folder `decoder` of random weights, with the tokenizer of the simulator's hub."""
    command = [python, "-c", _MAKES, desk / "decoder", tiny_llama(), json.dumps(config)]
    told = json.loads(_run(command, desk).splitlines()[-1])
    shape = to_shape(config)
    assert shape is not None
    return Decoder(told["parameters"], shape, {**versions, **told["versions"]})


def measure(python: Path, desk: Path, way: Way, *, device: str, steps: int) -> Measured:
    """Train `steps` steps by the program, every sequence full."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    length = _CHARS_PER_TOKEN * way.tokens
    starts = (997 * number % (len(text) - length) for number in range(steps * way.batch))
    lines = (json.dumps({"text": text[start : start + length]}) for start in starts)
    (desk / "rows.jsonl").write_text("\n".join(lines))
    output = desk / "output"
    shutil.rmtree(output, ignore_errors=True)
    settings = {
        "max_steps": steps,
        "per_device_train_batch_size": way.batch,
        "max_length": way.tokens,
        "gradient_checkpointing": str(way.checkpointing).lower(),
        "logging_steps": LOG_STEPS,
    }
    command = [python, load_program("causal-lm").folder / "train.py", "--model", desk / "decoder"]
    command += ["--train", desk / "rows.jsonl", "--output", output]
    command += ["--method", way.method, "--device", device]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    said = _run(command, desk)
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["tokens"] == steps * way.batch * way.tokens, f"{metrics}\n{said[-2000:]}"
    events = map(json.loads, (output / "events.jsonl").read_text().splitlines())
    rate = rate_of([one for one in events if "tokens" in one])
    return Measured(metrics["device"], metrics["dtype"], rate, metrics.get("peak_gpu_memory_gib"))


def _shown(way: Way, measured: Measured, expected: Forecast | None) -> Iterator[Row]:
    where, rate, gib = f"{way}, {measured.card}", measured.tokens_per_s, measured.peak_gib
    if expected is None:
        yield Row(f"tokens a second, {where}", rate, None, "tokens/s")
        return
    told = "forecast, {:.0f} to {:.0f}".format(*expected.tokens_per_s)
    yield Row(f"tokens a second, {where}", rate, expected.middle, "tokens/s", None, told)
    yield Row(f"MFU, {where}", 100 * expected.mfu(rate), None, "%")
    if gib is not None:
        yield Row(f"peak memory, {where}", gib, expected.gib, "GiB", None, "forecast")


def _driver() -> str:
    """Version of the card's driver; "" where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return ""
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.split("\n")[0].strip() if told.returncode == 0 else ""


def _run(command: Sequence[Any], desk: Path) -> str:
    environment = {**os.environ, "HF_HOME": str(desk / "hub"), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:]
    return ended.stdout
