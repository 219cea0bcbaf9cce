"""Fine-tune a model to classify text; see README.md.

    python train.py --model DIR --train a.jsonl --eval b.jsonl --output OUT

Ends with 0 when everything is in OUT, 143 after SIGTERM with a checkpoint, 1 with a sentence
that says what is wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from card import model_card
from device import check_driver
from rows import Rows, label_names, read_rows
from settings import Settings, fail, read_settings
from stopping import EXIT_CODE, Stop

if TYPE_CHECKING:
    from fit import Result


def main(arguments: list[str]) -> int:
    """Train as told; the exit code."""
    stop = Stop()
    stop.listen()
    settings = read_settings(arguments)
    check_driver(settings.device)
    train_rows = read_rows(settings.train_file, settings.text_column, settings.label_column)
    eval_rows = _read_eval(settings)
    names = label_names(train_rows.labels)
    _check_labels(names, eval_rows)
    print(_sizes(train_rows, eval_rows, names), flush=True)

    # Everything comes from the model's folder: nothing may wait for a network.
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    # Threads that spin while they wait slow down a shared CPU: a fifth, and far more when busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from fit import Stopped, train  # torch and transformers: seconds

    try:
        result = train(settings, train_rows, eval_rows, names, stop)
    except Stopped:
        return EXIT_CODE
    _save(settings, result, model_card(settings, train_rows, eval_rows, result.metrics))
    return 0


def _read_eval(settings: Settings) -> Rows | None:
    if settings.eval_file is None:
        return None
    return read_rows(settings.eval_file, settings.text_column, settings.label_column)


def _check_labels(names: list[str], eval_rows: Rows | None) -> None:
    if len(names) < 2:
        fail(f"every training row has the label {names[0]!r}")
    unknown = sorted(set(eval_rows.labels) - set(names)) if eval_rows else []
    if unknown:
        fail(f"label {unknown[0]!r} of the eval rows is in no training row")


def _sizes(train_rows: Rows, eval_rows: Rows | None, names: list[str]) -> str:
    evaluated = f"{len(eval_rows)} eval rows" if eval_rows else "no eval rows"
    return f"{len(train_rows)} training rows, {evaluated}, {len(names)} labels"


def _save(settings: Settings, result: Result, card: str) -> None:
    settings.output.mkdir(parents=True, exist_ok=True)
    writing, model = settings.output / ".model.writing", settings.output / "model"
    shutil.rmtree(writing, ignore_errors=True)
    result.trainer.model.save_pretrained(writing)
    result.trainer.processing_class.save_pretrained(writing)
    (writing / "README.md").write_text(card)
    shutil.rmtree(model, ignore_errors=True)
    writing.rename(model)
    log = "".join(json.dumps(entry) + "\n" for entry in result.log_history)
    (settings.output / "training_log.jsonl").write_text(log)
    _write_whole(settings.metrics, json.dumps(result.metrics, indent=2) + "\n")
    print(f"done: {settings.metrics.name} and model/ are written", flush=True)


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.writing")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
