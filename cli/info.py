"""``qa info``: show what the store holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, emit_facts, format_option, message


@click.command()
@store_option
@format_option
def info(store: Path | None, form: str) -> int:
    """Say what the store holds: generation, roots, documents, passages, bytes, encoder."""
    from deformer_qa.store import open_snapshot

    with open_snapshot(located(store)) as snapshot:
        if snapshot.notice:
            message(f"qa: {snapshot.notice}")
        about: dict[str, Any] = {
            "store": str(located(store)),
            "generation": snapshot.generation,
            "documents": snapshot.n_documents,
            "passages": snapshot.n_passages,
            "roots": list(snapshot.roots),
            "encoding": snapshot.encoding,
            "vector_index": {
                "choice": snapshot.manifest.vector_index,
                "indexes": [
                    {"factory": index.factory, "probes": index.n_probes, "rows": index.n_rows}
                    for index in snapshot.manifest.indexes
                ],
            },
            "encoder": {"id": snapshot.encoder.encoder_id, **dict(snapshot.encoder.about)},
            "size": snapshot.size_report(),
        }
    rows = list(_lines(about))
    emit_facts(form, about, rows)
    return ExitCode.OK


def _lines(about: dict[str, Any]) -> Iterator[tuple[str, str]]:
    encoder, size = about["encoder"], about["size"]
    for key in ("store", "generation", "documents", "passages"):
        yield key, _shown(about[key])
    yield from (("root", root) for root in about["roots"])
    yield "encoding", about["encoding"]
    yield "vector index", about["vector_index"]["choice"]
    for one in about["vector_index"]["indexes"]:
        yield "vector index", f"{one['factory']}, {one['probes']} lists searched, {one['rows']:,} rows"
    yield "encoder", f"{encoder['name']}, k={encoder['k']}, {encoder['id']}"
    yield from ((f"bytes of {file}", _shown(n)) for file, n in size["bytes"].items())
    yield from ((key.removeprefix("n_").replace("_", " "), _shown(n)) for key, n in size.items() if key != "bytes")


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
