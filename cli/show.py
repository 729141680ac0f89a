"""``qa show``: show a passage with its neighbours, or the stored text of a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import JSON_FORMS, ExitCode, console, emit, format_option, print_text
from deformer_qa.cli.terminal.streams import printable_lines

if TYPE_CHECKING:
    from deformer_qa.store import DocumentRecord, PassageRecord, Snapshot


@click.command()
@click.argument("passage", type=click.IntRange(min=0), required=False)
@click.option("--document", type=click.IntRange(min=0), metavar="ID", help="Show a document instead of a passage.")
@click.option("--text", is_flag=True, help="With --document: print only its stored text; exact with --format json.")
@click.option(
    "--around",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="Show N neighbouring passages before and after.",
)
@store_option
@format_option
def show(passage: int | None, document: int | None, text: bool, around: int, store: Path | None, form: str) -> int:
    """Show PASSAGE (a number from an answer) with its neighbours."""
    if (passage is None) == (document is None):
        raise click.UsageError("give either a PASSAGE number or --document ID.")
    if text and document is None:
        raise click.UsageError("--text needs --document ID.")
    from deformer_qa.store import open_snapshot

    with open_snapshot(located(store)) as snapshot:
        if document is not None and text:
            whole = snapshot.document(document).text
            if form in JSON_FORMS:
                emit(form, {"text": whole}, ())
            else:
                print_text(whole)
        elif document is not None:
            _print_document(snapshot, document, form)
        else:
            assert passage is not None
            _print_passage(snapshot, passage, around, form)
    return ExitCode.OK


def _print_document(snapshot: Snapshot, document_id: int, form: str) -> None:
    record = snapshot.document(document_id)
    passages = snapshot.document_passages(document_id)
    about = {**_about(record), "characters": len(record.text), "outline": record.outline}
    listed = [
        {
            "passage": one.id,
            "start": one.start,
            "end": one.end,
            "heading": record.heading_at(one.start) or None,
            **_location(record, one.start),
        }
        for one in passages
    ]

    head = record.path, record.title, f"{len(record.text):,} characters", f"{len(passages)} passages"
    rows = (
        (one.id, f"{one.start}-{one.end}", record.heading_at(one.start), record.text[one.start : one.end][:60])
        for one in passages
    )
    emit(form, {"document": about, "passages": listed}, [head, *rows])


def _print_passage(snapshot: Snapshot, passage_id: int, around: int, form: str) -> None:
    from deformer_qa.store.locations import in_words, location_at

    record = snapshot.passages([passage_id])[0]
    document = snapshot.document(record.document_id)
    family = snapshot.document_passages(record.document_id)
    place = next(index for index, one in enumerate(family) if one.id == passage_id)
    shown = family[max(0, place - around) : place + around + 1]
    texts = dict(zip([one.id for one in shown], snapshot.passage_texts([one.id for one in shown]), strict=True))
    about = _about(document)

    def as_json(one: PassageRecord) -> dict[str, Any]:
        where = {"heading": document.heading_at(one.start) or None, **_location(document, one.start)}
        return {
            "passage": one.id,
            "document": {**about, **where},
            "start": one.start,
            "end": one.end,
            "text": texts[one.id],
        }

    def human() -> None:
        out = console()
        for one in shown:
            mark = "▶" if one.id == passage_id else " "
            location = in_words(location_at(document.meta, document.text, one.start))
            where = (document.path, document.heading_at(one.start), location)
            line = " › ".join(printable_lines(part) for part in where if part)
            out.print(f"{mark} {one.id}  {line}  {one.start}-{one.end}", style="cyan")
            out.print(printable_lines(texts[one.id]), style="" if one.id == passage_id else "dim")

    neighbours = {
        "before": [as_json(one) for one in shown if one.start < record.start],
        "after": [as_json(one) for one in shown if one.start > record.start],
    }
    rows = (
        (one.id, f"{document.path}:{one.start}-{one.end}", document.heading_at(one.start), texts[one.id])
        for one in shown
    )
    emit(form, {**as_json(record), "neighbours": neighbours}, rows, human)


def _about(document: DocumentRecord) -> dict[str, Any]:
    from deformer_qa.store.locations import own_metadata

    return {
        "id": document.id,
        "root": document.root,
        "path": document.path,
        "title": document.title,
        "meta": own_metadata(document.meta),
    }


def _location(document: DocumentRecord, offset: int) -> dict[str, Any]:
    """The location of a character, every kind as in the JSON output."""
    from deformer_qa.store.locations import KINDS, location_at

    location = location_at(document.meta, document.text, offset)
    return {kind: location.get(kind) for kind in KINDS}
