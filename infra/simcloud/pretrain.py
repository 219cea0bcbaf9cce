"""Makes the hub's tiny language model: a Llama of 0.4 M parameters that has read some text.

    python infra/simcloud/pretrain.py FOLDER      in the environment of jobs/causal-lm: 45 s

The text is Python's own documentation, as it lies in the standard library. A base model that has
learned nothing hardly learns from an adapter either: its embeddings stay random.
"""

from __future__ import annotations

import sys
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

STEPS, ROWS, TOKENS = 300, 16, 128

_VOCABULARY, _POSITIONS = 1024, 512
_END, _TURN, _TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def main(folder: Path) -> float:
    """Train, save, and give the last loss."""
    torch.set_num_threads(1)
    set_seed(0)
    text = "\n\n".join(topics[name] for name in sorted(topics))
    tokenizer = _tokenizer(text)
    tokens = torch.tensor(tokenizer(text)["input_ids"])
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=_VOCABULARY,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=_POSITIONS,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    loss = _train(model, tokens)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("A tiny Llama that read Python's documentation, for tests.\n")
    return loss


def _tokenizer(text: str) -> PreTrainedTokenizerFast:
    trained = ByteLevelBPETokenizer()
    special = [_END, _TURN, _TURN_END]
    trained.train_from_iterator([text], vocab_size=_VOCABULARY, special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        eos_token=_TURN_END,
        pad_token=_END,
        additional_special_tokens=[_TURN],
        model_max_length=_POSITIONS,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def _train(model: LlamaForCausalLM, tokens: torch.Tensor) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=STEPS)
    loss = 0.0
    for step in range(STEPS):
        starts = torch.randint(0, len(tokens) - TOKENS, (ROWS,))
        batch = torch.stack([tokens[start : start + TOKENS] for start in starts.tolist()])
        result = model(input_ids=batch, labels=batch).loss
        result.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss = float(result.detach())
        if step % 50 == 0:
            print(f"step {step}  loss {loss:.2f}", flush=True)
    return loss


if __name__ == "__main__":
    print(f"last loss {main(Path(sys.argv[1])):.3f}")
