"""The size of a training in blocks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.blocks import Block, Cell, Facts, Table, Text, Tone, heading
from orchestrator.cli.figures import size

if TYPE_CHECKING:
    from orchestrator.lifecycle.size import CardView, SizeView

_HOW = {"full": "all parameters", "lora": "LoRA", "qlora": "LoRA on 4 bits"}


def size_page(view: SizeView) -> list[Block]:
    """Memory by part, work, and the cards."""
    parameters = f"{view['parameters'] / 1e6:,.1f} M"
    trained = view["trained_parameters"]
    share = "all" if view["method"] == "full" else f"{trained / 1e6:,.1f} M"
    recompute = ", activations computed again" if view["checkpointing"] else ""
    return [
        heading(f"{view['model']}: {_HOW[view['method']]}"),
        Facts(
            (
                ("revision", view["revision"][:12]),
                ("parameters", parameters + (" (estimated)" if view["is_estimate"] else "")),
                ("trained", share),
                ("batch", f"{view['batch']} × {view['max_length']} tokens{recompute}"),
            )
        ),
        heading("GPU memory"),
        Table(
            ("part", ">size"),
            (
                *((part["part"], size(part["bytes"])) for part in view["memory"]),
                (Text("together", Tone.GOOD), f"{view['gpu_memory_gib']:.1f} GiB"),
            ),
        ),
        heading("Beside it"),
        Facts(
            (
                ("RAM of the host", f"{view['ram_gib']:.1f} GiB"),
                ("disk", f"{view['disk_gib']} GiB and the image"),
                ("download", size(view["download_bytes"])),
                ("results", size(view["result_bytes"])),
                ("work", f"{view['flops']:.3g} FLOPs for {view['tokens']:,} tokens (an epoch)"),
            )
        ),
        heading("Cards, one of them"),
        Table(
            ("", "GPU", ">GiB", ">left", ">hours for the epoch", "note"),
            tuple(_row(card) for card in view["gpus"]),
        ),
    ]


def _row(card: CardView) -> tuple[Cell, ...]:
    word = Text("fits", Tone.GOOD) if card["fits"] else Text("no", Tone.DIM)
    hours = "-"
    if card["fits"] and card["hours"] is not None:
        low, high = card["hours"]
        hours = f"{low:.2g} - {high:.2g}"
    left = f"{card['left_gib']:.1f}" if card["fits"] else "-"
    return (word, card["gpu"], f"{card['memory_gib']:g}", left, hours, card["note"])
