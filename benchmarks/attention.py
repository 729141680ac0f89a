"""Time attention implementations, and what encoding one text at a time costs: the table of decisions 2 and 3.

    python benchmarks/attention.py [--layers 6] [--threads 2] [--runs 5]

Runs take turns; the table has medians. Compare only rows of one printout: machines are shared and differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from deformer_qa.reader.networks.layers import BackboneShape, Context, TransformerLayer

SHAPE = BackboneShape("bert", 6, 384, 12, 1536, 30522, 512, 2, 1e-12, "none", 0)
TOKENS = 192


class _SdpaLayer(TransformerLayer):
    """Our layer with torch's fused attention."""

    def forward(self, states: Tensor, context: Context, rows: slice | None = None) -> Tensor:
        batch, tokens, width = states.shape
        parts = self.qkv(states).view(batch, tokens, 3, self.n_heads, width // self.n_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=context.bias).transpose(1, 2)
        rows = self.attention_norm(states + self.attention_out(mixed.reshape(batch, tokens, width)))
        made: Tensor = self.feed_norm(rows + self.feed_out(F.gelu(self.feed_in(rows))))
        return made


def _stack(kind: type[TransformerLayer], n_layers: int) -> Callable[[Tensor], Tensor]:
    layers = nn.ModuleList(kind(SHAPE) for _ in range(n_layers))

    def run(states: Tensor) -> Tensor:
        for layer in layers:
            states = layer(states, Context(None))
        return states

    return run


def _hugging_face(kind: str, n_layers: int) -> Callable[[Tensor], Tensor]:
    config = BertConfig(
        hidden_size=384, num_hidden_layers=n_layers, num_attention_heads=12, intermediate_size=1536,
        attn_implementation=kind,
    )  # fmt: skip
    encoder = BertModel(config).encoder.train()
    return lambda states: encoder(states)[0]


def _seconds(run: Callable[[Tensor], Tensor], batch: int, bf16: bool, train: bool) -> float:
    states = torch.randn(batch, TOKENS, 384)
    began = time.perf_counter()
    with torch.set_grad_enabled(train), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        made = run(states)
    if train:
        made.float().square().mean().backward()
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    stacks = {
        "transformers, eager, with dropout": _hugging_face("eager", given.layers),
        "transformers, sdpa, with dropout": _hugging_face("sdpa", given.layers),
        "ours, scaled_dot_product_attention": _stack(_SdpaLayer, given.layers),
        "ours, written out": _stack(TransformerLayer, given.layers),
    }
    cases = [(batch, bf16, train) for batch in (32, 1) for bf16 in (False, True) for train in (False, True)]
    times: dict[tuple[str, int, bool, bool], list[float]] = {}
    for turn in range(given.runs + 1):
        for name, run in stacks.items():
            for case in cases:
                seconds = _seconds(run, *case)
                if turn:
                    times.setdefault((name, *case), []).append(seconds)
    print(f"{given.layers} layers of 384, texts of {TOKENS} tokens, {given.threads} threads, torch {torch.__version__}")
    for batch, bf16, train in cases:
        print(
            f"\nbatch {batch}, {'bf16 autocast' if bf16 else 'fp32'}, {'forward and backward' if train else 'forward'}"
        )
        for name in stacks:
            print(f"  {statistics.median(times[name, batch, bf16, train]) * 1000:9.1f} ms  {name}")


if __name__ == "__main__":
    main()
