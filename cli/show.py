"""``qa show``: a passage and its neighbours, or the kept text of a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, console, format_option, print_json, print_plain, print_text
from deformer_qa.cli.terminal import printable_lines

if TYPE_CHECKING:
    from deformer_qa.store import DocumentRecord, PassageRecord, Snapshot


@click.command()
@click.argument("passage", type=click.IntRange(min=0), required=False)
@click.option("--document", type=click.IntRange(min=0), metavar="ID", help="Show a document instead of a passage.")
@click.option("--text", is_flag=True, help="With --document: its kept text and nothing else; exact with --format json.")
@click.option(
    "--around",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="Neighbouring passages shown before and after.",
)
@store_option
@format_option
def show(passage: int | None, document: int | None, text: bool, around: int, store: Path | None, form: str) -> int:
    """Show PASSAGE (a number from an answer) with its neighbours."""
    if (passage is None) == (document is None):
        raise click.UsageError("give a PASSAGE number or --document ID, one of the two.")
    if text and document is None:
        raise click.UsageError("--text goes with --document ID.")
    from deformer_qa.store import open_snapshot

    with open_snapshot(located(store)) as snapshot:
        if document is not None and text:
            _print_text(snapshot.document(document).text, form)
        elif document is not None:
            _print_document(snapshot, document, form)
        else:
            assert passage is not None
            _print_passage(snapshot, passage, around, form)
    return ExitCode.OK


def _print_text(text: str, form: str) -> None:
    if form in ("json", "ndjson"):
        print_json({"schema": 1, "text": text}, indent=form == "json")
    else:
        print_text(text)


def _print_document(snapshot: Snapshot, document_id: int, form: str) -> None:
    from deformer_qa.store.locations import own_metadata

    record = snapshot.document(document_id)
    passages = snapshot.document_passages(document_id)
    if form in ("json", "ndjson"):
        about = {
            "id": record.id,
            "root": record.root,
            "path": record.path,
            "title": record.title,
            "meta": own_metadata(record.meta),
            "characters": len(record.text),
            "outline": record.outline,
        }
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
        print_json({"schema": 1, "document": about, "passages": listed}, indent=form == "json")
        return
    print_plain(record.path, record.title, f"{len(record.text):,} characters", f"{len(passages)} passages")
    for one in passages:
        print_plain(
            one.id, f"{one.start}-{one.end}", record.heading_at(one.start), record.text[one.start : one.end][:60]
        )


def _print_passage(snapshot: Snapshot, passage_id: int, around: int, form: str) -> None:
    from deformer_qa.store.locations import in_words, location_at, own_metadata

    record = snapshot.passages([passage_id])[0]
    document = snapshot.document(record.document_id)
    family = snapshot.document_passages(record.document_id)
    place = next(index for index, one in enumerate(family) if one.id == passage_id)
    shown = family[max(0, place - around) : place + around + 1]
    texts = dict(zip([one.id for one in shown], snapshot.passage_texts([one.id for one in shown]), strict=True))
    about = {
        "id": document.id,
        "root": document.root,
        "path": document.path,
        "title": document.title,
        "meta": own_metadata(document.meta),
    }

    if form in ("json", "ndjson"):

        def as_json(one: PassageRecord) -> dict[str, Any]:
            return {
                "passage": one.id,
                "document": {
                    **about,
                    "heading": document.heading_at(one.start) or None,
                    **_location(document, one.start),
                },
                "start": one.start,
                "end": one.end,
                "text": texts[one.id],
            }

        neighbours = {
            "before": [as_json(one) for one in shown if one.start < record.start],
            "after": [as_json(one) for one in shown if one.start > record.start],
        }
        print_json({"schema": 1, **as_json(record), "neighbours": neighbours}, indent=form == "json")
    elif form == "plain":
        for one in shown:
            span = f"{document.path}:{one.start}-{one.end}"
            print_plain(one.id, span, document.heading_at(one.start), texts[one.id])
    else:
        out = console()
        for one in shown:
            mark = "▶" if one.id == passage_id else " "
            location = in_words(location_at(document.meta, document.text, one.start))
            where = (document.path, document.heading_at(one.start), location)
            line = " › ".join(printable_lines(part) for part in where if part)
            out.print(f"{mark} {one.id}  {line}  {one.start}-{one.end}", style="cyan")
            out.print(printable_lines(texts[one.id]), style="" if one.id == passage_id else "dim")


def _location(document: DocumentRecord, offset: int) -> dict[str, Any]:
    """Where a character stands, each kind of location as JSON has it."""
    from deformer_qa.store.locations import KINDS, location_at

    location = location_at(document.meta, document.text, offset)
    return {kind: location.get(kind) for kind in KINDS}
