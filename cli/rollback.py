"""``qa rollback``: go back to the previous generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, emit, format_option, message, print_plain

if TYPE_CHECKING:
    from deformer_qa.store import Snapshot


@click.command()
@store_option
@format_option
def rollback(store: Path | None, form: str) -> int:
    """Go back to the previous generation; a second rollback undoes the first.

    One commit is undone. A long "qa index" makes several, and a commit that only merges segments changes no count.
    Your files stay as they are, so the next "qa index" brings the index up to date with them again.
    """
    from deformer_qa.store import Writer

    with Writer.open(located(store), encoder=None) as writer:
        assert writer.snapshot is not None
        if writer.notice:
            message(f"qa: {writer.notice}")
        before, parent = _counts(writer.snapshot), writer.snapshot.manifest.parent
        generation = writer.rollback()
        after = _counts(writer.snapshot)
    rows = [
        (before["generation"], parent, generation),
        *((name, before[name], after[name]) for name in ("documents", "passages")),
    ]

    def human() -> None:
        print_plain(
            f"Back from generation {before['generation']} to the content of {parent}, as generation {generation}."
        )
        for name in ("documents", "passages"):
            print_plain(f"{name}: {before[name]:,} before, {after[name]:,} now")
        for word, some, others in (("no longer", before, after), ("again", after, before)):
            for root in some["roots"]:
                if root not in others["roots"]:
                    print_plain(f"root {word} recorded: {root}")

    emit(form, {"from": before, "to": after | {"content_of": parent}}, rows, human)
    return ExitCode.OK


def _counts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "generation": snapshot.generation,
        "documents": snapshot.n_documents,
        "passages": snapshot.n_passages,
        "roots": list(snapshot.roots),
    }
