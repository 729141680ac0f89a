"""``qa bench``: what the store's choices cost and lose, measured here."""

from __future__ import annotations

import click

from deformer_qa.cli.bench_encodings import encodings
from deformer_qa.cli.bench_recall import recall


@click.group()
def bench() -> None:
    """Measure what the store's choices cost and lose."""


bench.add_command(encodings)
bench.add_command(recall)
