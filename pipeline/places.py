"""Locate spans: convert token rows of a passage to characters, heading and page of its document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from deformer_qa.pipeline.long_answers import answering_part, is_sentence, long_span
from deformer_qa.pipeline.questions import Kind
from deformer_qa.pipeline.results import Place
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.borders.units import statement_around
from deformer_qa.reader.passages import Span
from deformer_qa.reader.spans import TokenSpan
from deformer_qa.reader.tokens import TextTokenizer, TokenizedText
from deformer_qa.store import DocumentRecord, PassageRecord, Snapshot, StoreDamaged, keyed_input
from deformer_qa.store.locations import location_at, own_metadata


class Places:
    """Look up the places of spans, reading each document and passage once; texts are checked against their hashes.

    :param expected: passages that will be looked up; the first look-up reads the documents of all of them.
    """

    def __init__(self, snapshot: Snapshot, tokenizer: TextTokenizer, expected: Iterable[PassageRecord] = ()) -> None:
        self._snapshot, self._tokenizer = snapshot, tokenizer
        self._records = {record.id: record for record in expected}
        self._passages: dict[int, _LocatedPassage] = {}
        self._documents: dict[int, DocumentRecord] = {}

    def passage(self, passage_id: int) -> Place:
        """The place of a whole passage."""
        located = self._located(passage_id)
        return self._place(located, located.record.start, located.record.end)

    def span(self, passage_id: int, span: TokenSpan) -> Place:
        """The place of a span of token rows, widened to whole words."""
        located = self._located(passage_id)
        first, end = (place - located.lead_length for place in located.tokens.characters(span.first, span.last))
        return self._place(located, located.record.start + first, located.record.start + end)

    def inside(self, passage_id: int, start: int, end: int) -> Place:
        """The place of characters ``start`` to ``end`` of a passage's text."""
        located = self._located(passage_id)
        return self._place(located, located.record.start + start, located.record.start + end)

    def text(self, passage_id: int) -> str:
        """A passage's text."""
        return self._located(passage_id).text

    def whole(self, passage_id: int) -> str:
        """The encoder's input for a passage: its lead and its text."""
        return self._located(passage_id).whole

    def rows(self, passage_id: int, start: int, end: int) -> list[int]:
        """The token rows of characters ``start`` to ``end`` of a passage's text."""
        located = self._located(passage_id)
        start, end = start + located.lead_length, end + located.lead_length
        return [row for row, (first, last) in enumerate(located.tokens.offsets) if last > start and first < end]

    def first_row(self, passage_id: int) -> int:
        """The first token row of a passage's text; the classification token and the lead come before it."""
        located = self._located(passage_id)
        return located.tokens.first_row(located.lead_length)

    def borders(self, passage_id: int) -> SpanBorders:
        """Borders between which answers may lie in a passage."""
        return self._located(passage_id).borders

    def context(self, place: Place) -> tuple[str, int]:
        """The sentence, item or table row around a place, and where it starts in the document."""
        located = self._located(place.passage)
        passage = located.record
        around = statement_around(located.text, place.start - passage.start, place.end - passage.start)
        return located.text[around.start : around.end], passage.start + around.start

    def long(self, place: Place, kind: Kind) -> Place:
        """Return the sentence, step or list around a place, as this kind of question wants; may leave the passage."""
        document = self._located(place.passage).document
        return _moved(place, document, long_span(document.text, place.start, place.end, kind))

    def answering(self, place: Place, kind: Kind, question: str) -> tuple[Place, Place] | None:
        """In an entry around a place, find the part that answers this kind of question and the long part around it."""
        document = self._located(place.passage).document
        found = answering_part(document.text, place.start, place.end, kind, question)
        if found is None:
            return None
        return _moved(place, document, found[0]), _moved(place, document, found[1])

    def is_sentence(self, place: Place) -> bool:
        """Whether a place is a whole sentence, not a heading or fragment."""
        outline = self._located(place.passage).document.outline
        in_heading = any(start <= place.start and place.end <= start + len(heading) for start, heading in outline)
        return is_sentence(place.text) and not in_heading

    def _located(self, passage_id: int) -> _LocatedPassage:
        if passage_id not in self._passages:
            if passage_id not in self._records:
                self._records[passage_id] = self._snapshot.passages([passage_id])[0]
            record = self._records[passage_id]
            if record.document_id not in self._documents:
                wanted = {one.document_id for one in self._records.values()} - self._documents.keys()
                self._documents |= {one.id: one for one in self._snapshot.documents(sorted(wanted))}
            document = self._documents[record.document_id]
            whole = keyed_input(record.key, record.heading, document.text[record.start : record.end])
            if whole is None:
                raise StoreDamaged(
                    str(self._snapshot.path), f"passage {record.id}: the text is not the one that was encoded"
                )
            self._passages[passage_id] = _LocatedPassage(record, whole, document, self._tokenizer)
        return self._passages[passage_id]

    def _place(self, located: _LocatedPassage, start: int, end: int) -> Place:
        document, passage = located.document, located.record
        return Place(
            passage=passage.id,
            document=document.id,
            root=document.root,
            path=document.path,
            title=document.title,
            heading=document.heading_at(start),
            location=location_at(document.meta, document.text, start),
            meta=own_metadata(document.meta),
            start=start,
            end=end,
            text=located.text[start - passage.start : end - passage.start],
        )


def _moved(place: Place, document: DocumentRecord, to: Span) -> Place:
    """Return a place elsewhere in the same document."""
    return replace(
        place,
        heading=document.heading_at(to.start),
        location=location_at(document.meta, document.text, to.start),
        start=to.start,
        end=to.end,
        text=document.text[to.start : to.end],
    )


class _LocatedPassage:
    """A passage with its text and document; tokenised only when a span of it is asked for.

    :ivar whole: the encoder's input, which ``tokens`` refer to: the text, usually after a lead
    :ivar lead_length: characters of ``whole`` before the text
    """

    def __init__(self, record: PassageRecord, whole: str, document: DocumentRecord, tokenizer: TextTokenizer) -> None:
        self.record, self.whole, self.document = record, whole, document
        self.lead_length = len(whole) - (record.end - record.start)
        self.text = whole[self.lead_length :]
        self._tokenizer = tokenizer

    @cached_property
    def tokens(self) -> TokenizedText:
        return self._tokenizer.tokenize(self.whole, "passage")

    @cached_property
    def borders(self) -> SpanBorders:
        return SpanBorders.of(self.text, self.tokens.offsets, self.lead_length)
