"""Fine-tune a language model; see README.md.

    python train.py --model DIR --train a.jsonl --eval b.jsonl --output OUT

Ends with 0 when everything is in OUT, 143 after SIGTERM with a checkpoint, 1 with a sentence
that says what is wrong.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

# On a machine `training` lies in this folder; in a checkout beside it.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from training.device import check_driver
from training.rehearsal import MOST_ROWS, problem_of
from training.results import write_figures, write_folder
from training.settings import Settings, fail, read_settings
from training.stopping import EXIT_CODE, Stop

from card import model_card
from options import ABILITIES
from rows import Rows, read_rows

if TYPE_CHECKING:
    from fit import Result


def main(arguments: list[str]) -> int:
    """Train as told; the exit code."""
    stop = Stop()
    stop.listen()
    settings = read_settings(ABILITIES, arguments)
    check_driver(settings.device)
    train_rows = read_rows(settings.train_file, settings.columns)
    eval_rows = read_rows(settings.eval_file, settings.columns) if settings.eval_file else None
    if settings.rehearse:
        train_rows = train_rows.first(MOST_ROWS)
        eval_rows = eval_rows and eval_rows.first(int(settings.train["per_device_eval_batch_size"]))
    judged = f"{len(eval_rows)} eval rows" if eval_rows else "no eval rows"
    print(f"{len(train_rows)} training rows, {judged}, {train_rows.layout}", flush=True)

    # Everything comes from the model's folder: nothing may wait for a network.
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    # Threads that spin while they wait slow down a shared CPU: a fifth, and far more when busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # What will change in the next versions is for those who pin these ones.
    warnings.filterwarnings("ignore", category=FutureWarning)
    from training.conductor import Stopped

    from fit import train  # torch, transformers, TRL: seconds

    try:
        result = train(settings, train_rows, eval_rows, stop)
    except Stopped:
        return EXIT_CODE
    if settings.rehearse and (problem := problem_of(result.metrics)):
        fail(problem)
    _save(settings, result, train_rows, eval_rows)
    return 0


def _save(settings: Settings, result: Result, train: Rows, evaluation: Rows | None) -> None:
    from models import save_adapter, save_full, save_merged

    model, adapter = result.trainer.model, settings.output / "adapter"
    has_template = bool(result.tokenizer.chat_template)
    chat = has_template and (train.is_chat or train.layout == "instruction")

    def finish(folder: Path, *, is_adapter: bool) -> None:
        result.tokenizer.save_pretrained(folder)
        card = model_card(
            settings,
            train,
            evaluation,
            result.metrics,
            result.seconds,
            chat=chat,
            adapter=is_adapter,
        )
        (folder / "README.md").write_text(card)

    def fill_adapter(folder: Path) -> None:
        save_adapter(model, settings, folder)
        finish(folder, is_adapter=True)

    def fill_model(folder: Path) -> None:
        if settings.method == "full":
            save_full(model, settings, folder)
        else:
            save_merged(model, settings, adapter, folder, result.device)
        finish(folder, is_adapter=False)

    written = []
    if settings.method != "full":
        write_folder(adapter, fill_adapter)
        written.append("adapter/")
    if settings.method == "full" or settings.train["merge_adapter"]:
        write_folder(settings.output / "model", fill_model)
        written.append("model/")
    write_figures(settings, result.metrics, result.trainer.state.log_history)
    print(f"done: {settings.metrics.name} and {' and '.join(written)} are written", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
