"""Fine-tune a model to classify text; see README.md.

    python train.py --model DIR --train a.jsonl --eval b.jsonl --output OUT

Ends with 0 when everything is in OUT, 143 after SIGTERM with a checkpoint, 1 with a sentence
that says what is wrong.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# On a machine `training` lies in this folder; in a checkout beside it.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from training.device import check_driver
from training.rehearsal import MOST_ROWS, problem_of
from training.results import write_figures, write_folder
from training.settings import COMMON, Abilities, Settings, fail, read_settings
from training.stopping import EXIT_CODE, Stop

from card import model_card
from rows import Rows, label_names, read_rows

if TYPE_CHECKING:
    from fit import Result

_ABILITIES = Abilities("Fine-tune a model folder to classify text.", ("text", "label"), COMMON)


def main(arguments: list[str]) -> int:
    """Train as told; the exit code."""
    stop = Stop()
    stop.listen()
    settings = read_settings(_ABILITIES, arguments)
    check_driver(settings.device)
    train_rows = read_rows(settings.train_file, settings.columns)
    eval_rows = _read_eval(settings)
    names = label_names(train_rows.labels)
    _check_labels(names, eval_rows)
    if settings.rehearse:
        train_rows = train_rows.first(MOST_ROWS)
        eval_rows = eval_rows and eval_rows.first(int(settings.train["per_device_eval_batch_size"]))
    print(_sizes(train_rows, eval_rows, names), flush=True)

    # Everything comes from the model's folder: nothing may wait for a network.
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    # Threads that spin while they wait slow down a shared CPU: a fifth, and far more when busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from training.conductor import Stopped

    from fit import train  # torch and transformers: seconds

    try:
        result = train(settings, train_rows, eval_rows, names, stop)
    except Stopped:
        return EXIT_CODE
    if settings.rehearse and (problem := problem_of(result.metrics)):
        fail(problem)
    card = model_card(settings, train_rows, eval_rows, result.metrics, result.seconds)
    _save(settings, result, card)
    return 0


def _read_eval(settings: Settings) -> Rows | None:
    if settings.eval_file is None:
        return None
    return read_rows(settings.eval_file, settings.columns)


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
    def fill(folder: Path) -> None:
        result.trainer.model.save_pretrained(folder)
        result.trainer.processing_class.save_pretrained(folder)
        (folder / "README.md").write_text(card)

    write_folder(settings.output / "model", fill)
    write_figures(settings, result.metrics, result.trainer.state.log_history)
    print(f"done: {settings.metrics.name} and model/ are written", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
