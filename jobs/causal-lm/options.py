"""What this program can be told, under the names that TRL and PEFT use."""

from __future__ import annotations

from training.settings import COMMON, Abilities, Kinds

from rows import COLUMNS

LORA: Kinds = {
    "learning_rate": (float, 2e-4),
    "lora_r": (int, 16),
    "lora_alpha": (int, 32),
    "lora_dropout": (float, 0.05),
    "lora_target_modules": (str, "all-linear"),  # or names, separated by commas
    "merge_adapter": (bool, False),
}
ABILITIES = Abilities(
    "Fine-tune a model folder to write, on conversations, instructions or plain text.",
    COLUMNS,
    {
        **COMMON,
        "learning_rate": (float, 2e-5),
        "warmup_steps": (float, 0.03),
        "weight_decay": (float, 0.0),
        "per_device_train_batch_size": (int, 4),
        "per_device_eval_batch_size": (int, 4),
        "max_length": (int, 1024),
        "packing": (bool, False),
        "assistant_only_loss": (bool, False),
        "gradient_checkpointing": (bool, True),
    },
    methods=("lora", "full", "qlora"),
    of_method={"lora": LORA, "qlora": LORA},
)
