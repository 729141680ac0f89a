"""Read Haystack documents with a split reader: by stored states, or by states encoded on the spot."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from haystack import Document, ExtractedAnswer
from numpy.typing import NDArray

from deformer_qa.pipeline.answers import EmptySpans, ReadSpan, answered, read_spans
from deformer_qa.pipeline.haystack.documents import stored_passages, title_of
from deformer_qa.pipeline.long_answers import long_span
from deformer_qa.pipeline.outcomes import OutcomeRule
from deformer_qa.pipeline.questions import Wanted, checked_question, wanted_by
from deformer_qa.pipeline.rank import ConfidenceWeights, RankingWeights, ReadPassage, confidences
from deformer_qa.pipeline.results import Outcome, Place
from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.borders.units import statement_around
from deformer_qa.reader.errors import WrongEncoder
from deformer_qa.reader.reading import PassageLogits, SplitReader
from deformer_qa.reader.spans import MAX_ANSWER_TOKENS, TokenSpan
from deformer_qa.reader.tokens import TokenizedText
from deformer_qa.store import Snapshot, block_key, encoder_input

_SPANS_PER_PASSAGE = 3
OpenStore = Callable[[str | None], Snapshot | None]
"""Opens the newest generation of the store at a path; without a path or a store there, of the default store if any."""


@dataclass(frozen=True)
class _Passage:
    """A passage of one of the documents to read.

    :ivar document: its document's index in the list
    :ivar start: its first character in the document's content
    :ivar source, source_start: number of the text that the document is part of, and the passage's first character there
    :ivar lead: what the encoder reads before the text
    """

    document: int
    start: int
    text: str
    source: int
    source_start: int
    candidate: Candidate
    lead: str

    @property
    def whole(self) -> str:
        """The encoder's input: the lead and the text."""
        return encoder_input(self.lead, self.text)


class SplitReading:
    """Read Haystack documents with a split reader. Safe to use from several threads.

    :ivar n_stored, n_made: passages read from stored states, and passages that had to be encoded, since loading
    """

    def __init__(self, reader: SplitReader, open_store: OpenStore, kept_passages: int = 0) -> None:
        """:param kept_passages: for how many passages, the last used, states encoded on the spot are kept in memory."""
        self.reader, self._open_store = reader, open_store
        about = reader.about
        self._retrieved = RankingWeights.from_mapping(about.ranking if about else {})
        self._given = RankingWeights.from_mapping(about.ranking_given if about else {})
        self._sure = ConfidenceWeights.from_mapping(about.confidence if about else {})
        self._outcome_rule = OutcomeRule.from_mapping(about.outcomes if about else {})
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._n_kept = kept_passages
        self._keeping = threading.Lock()
        self.n_stored = self.n_made = 0

    def read(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        top_k: int | None,
        answers_per_seq: int | None,
        overlap_threshold: float | None,
    ) -> tuple[list[ExtractedAnswer], float]:
        """Return the answers, best first, and the probability that none is right.

        :param documents: documents, all of which have text.
        :param answers_per_seq: how many spans of a passage compete.
        :param overlap_threshold: spans that share more than this fraction of the shorter one, or say the same, are one
            answer; None keeps each span as an answer, except those that answer nothing.
        """
        question = checked_question(query)
        wanted = wanted_by(question)
        asked = self.reader.encoder.encode_question(question).states
        passages, states = self._passages(documents)
        logits = self.reader.read(asked, states)
        per_passage = _SPANS_PER_PASSAGE if answers_per_seq is None else answers_per_seq
        places = _Places(passages, self.reader)
        all_retrieved = all(_scores(document) for document in documents)
        spans = _spans(question, passages, logits, places, per_passage, all_retrieved)
        weights = self._retrieved if all_retrieved else self._given
        if overlap_threshold is None:
            utilities = weights.utilities([one.features for one in spans])
            probabilities, none = confidences(utilities)
            order = np.argsort(-utilities, kind="stable").tolist()
            all_found: list[tuple[Place, float, tuple[Place, ...]]] = [
                (places.span(spans[index].candidate.passage_id, spans[index].span), float(probabilities[index]), ())
                for index in order
            ]
            empty = EmptySpans(question, wanted)
            found = [one for one in all_found if one[0].text not in empty][:top_k]
        else:
            n_answers = None if wanted.is_long else top_k
            sure = self._sure if all_retrieved else None
            answers, none = answered(
                question, wanted, spans, weights, places, n_answers, sure=sure, overlap=overlap_threshold
            )
            found = [(one.place, one.confidence, one.evidence) for one in answers]
        nearest = max((passage.candidate.dense for passage in passages), default=None) if all_retrieved else None
        outcome = self._outcome_rule.outcome(found[0][1] if found else None, nearest)
        made = [_extracted(query, documents, passages, outcome, wanted, *one) for one in found]
        return (made if overlap_threshold is None else _of_different_parts(made))[:top_k], none

    def _passages(self, documents: Sequence[Document]) -> tuple[list[_Passage], list[NDArray[np.float32]]]:
        """Divide the documents into passages, and load or make their states."""
        passages: list[_Passage] = []
        states: list[NDArray[np.float32]] = []
        sources, stores = _Sources(), _Stores(self._snapshot)
        for number, document in enumerate(documents):
            text, about = document.content or "", _about(document)
            snapshot = stores.of(about)
            source, offset = sources.of(document)
            for start, end, lead, key in self._divided(document, snapshot):
                passage = _Passage(
                    document=number,
                    start=start,
                    text=text[start:end],
                    source=source,
                    source_start=offset + start,
                    candidate=_candidate(len(passages), key, about),
                    lead=lead,
                )
                passages.append(passage)
                states.append(self._states(snapshot, key, passage.whole, document.id))
        return passages, states

    def _divided(self, document: Document, snapshot: Snapshot | None) -> list[tuple[int, int, str, bytes]]:
        """Return start, end, lead and key of a document's passages: as stored, else as the store would cut them."""
        text, named, encoder = document.content or "", _about(document).get("lead"), self.reader.encoder
        lead = named if isinstance(named, str) else encoder.lead(title_of(document), "")
        whole = block_key(encoder_input(lead, text))
        if snapshot is not None:
            if snapshot.has_row(whole):
                return [(0, len(text), lead, whole)]
            if not isinstance(named, str) and (stored := stored_passages(snapshot, document)):
                return [(one.start, one.end, one.heading, one.key) for one in stored]
        cut = encoder.borders.split(text, encoder.tokenizer)
        return [(one.start, one.end, lead, block_key(encoder_input(lead, text[one.start : one.end]))) for one in cut]

    def _snapshot(self, store: str | None) -> Snapshot | None:
        snapshot = self._open_store(store)
        if snapshot is None:
            return None
        ours, theirs = self.reader.encoder.encoder_id, snapshot.encoder.encoder_id
        if theirs != ours:
            raise WrongEncoder(
                f"{snapshot.path}: built with encoder {theirs}, this reader needs {ours}; "
                "give the component the reader that the store was built with, or index the documents anew."
            )
        return snapshot

    def _states(self, snapshot: Snapshot | None, key: bytes, whole: str, id_: str) -> NDArray[np.float32]:
        if snapshot is not None and snapshot.has_row(key):
            self.n_stored += 1
            return snapshot.states([key])[0]
        with self._keeping:
            kept = self._kept.get(key)
        if kept is None:
            self.n_made += 1
            kept = self.reader.encoder.states(whole, f"document {id_}")
        with self._keeping:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > self._n_kept:
                self._kept.popitem(last=False)
        return kept


def _spans(
    question: str,
    passages: Sequence[_Passage],
    logits: Sequence[PassageLogits],
    places: _Places,
    per_passage: int,
    all_retrieved: bool,
) -> list[ReadSpan]:
    """Find the best spans of each passage; if all passages were retrieved, they have ranks."""
    order = sorted({-passage.candidate.fused for passage in passages})
    read = [
        ReadPassage(one.candidate, made.spans, order.index(-one.candidate.fused) + 1 if all_retrieved else None)
        for one, made in zip(passages, logits, strict=True)
    ]
    return read_spans(question, read, places, per_passage, MAX_ANSWER_TOKENS)


class _Stores:
    """Open one generation of each store for one reading, however many documents come from it."""

    def __init__(self, open_store: OpenStore) -> None:
        self._open_store = open_store
        self._snapshots: dict[str | None, Snapshot | None] = {}

    def of(self, about: Mapping[str, Any]) -> Snapshot | None:
        """Return the store that a document names, else the default store if any, else None."""
        named = about.get("store")
        store = named if isinstance(named, str) else None
        if store not in self._snapshots:
            self._snapshots[store] = self._open_store(store)
        return self._snapshots[store]


class _Sources:
    """Find documents that are parts of one text.

    Our retriever and Haystack's splitters name the text and where the part begins in it. Some splitters count from
    elsewhere, so parts count as one text only if they agree where they overlap.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[Any, str], list[tuple[int, list[tuple[int, str]]]]] = {}
        self._n = 0

    def of(self, document: Document) -> tuple[int, int]:
        """Return the number of the text, and the document's first character in it."""
        named, offset = self._claimed(document)
        content = document.content or ""
        texts = self._texts.setdefault(named, [])
        for number, parts in texts:
            if all(_agree(offset, content, there, part) for there, part in parts):
                parts.append((offset, content))
                return number, offset
        self._n += 1
        texts.append((self._n, [(offset, content)]))
        return self._n, offset

    @staticmethod
    def _claimed(document: Document) -> tuple[tuple[Any, str], int]:
        about, meta = _about(document), document.meta
        if isinstance(about.get("document"), str) and isinstance(about.get("start"), int):
            return (about.get("store"), about["document"]), about["start"]
        source, offset = meta.get("source_id"), meta.get("split_idx_start")
        if isinstance(source, str) and isinstance(offset, int):
            return (None, source), offset
        return (None, document.id), 0


def _agree(start: int, text: str, other_start: int, other: str) -> bool:
    """Whether two parts of a text are the same where they overlap."""
    first, end = max(start, other_start), min(start + len(text), other_start + len(other))
    return first >= end or text[first - start : end - start] == other[first - other_start : end - other_start]


class _Places:
    """Locate spans of the documents; offsets count in the texts that the documents are parts of."""

    def __init__(self, passages: Sequence[_Passage], reader: SplitReader) -> None:
        self._passages, self._tokenizer = passages, reader.encoder.tokenizer
        self._tokens: dict[int, TokenizedText] = {}
        self._borders: dict[int, SpanBorders] = {}

    def span(self, passage_id: int, span: TokenSpan) -> Place:
        passage = self._passages[passage_id]
        lead_length = len(passage.whole) - len(passage.text)
        first, end = (place - lead_length for place in self._tokenized(passage_id).characters(span.first, span.last))
        return Place(
            passage=passage_id,
            document=passage.source,
            root="",
            path="",
            title="",
            heading="",
            location={},
            meta={},
            start=passage.source_start + first,
            end=passage.source_start + end,
            text=passage.text[first:end],
        )

    def whole(self, passage_id: int) -> str:
        return self._passages[passage_id].whole

    def borders(self, passage_id: int) -> SpanBorders:
        if passage_id not in self._borders:
            passage = self._passages[passage_id]
            text_start = len(passage.whole) - len(passage.text)
            offsets = self._tokenized(passage_id).offsets
            self._borders[passage_id] = SpanBorders.of(passage.text, offsets, text_start)
        return self._borders[passage_id]

    def _tokenized(self, passage_id: int) -> TokenizedText:
        if passage_id not in self._tokens:
            self._tokens[passage_id] = self._tokenizer.tokenize(self._passages[passage_id].whole, "passage")
        return self._tokens[passage_id]

    def context(self, place: Place) -> tuple[str, int]:
        passage = self._passages[place.passage]
        start = place.start - passage.source_start
        around = statement_around(passage.text, start, start + len(place.text))
        return passage.text[around.start : around.end], passage.source_start + around.start


def _about(document: Document) -> Mapping[str, Any]:
    about = document.meta.get("deformer")
    return about if isinstance(about, Mapping) else {}


def _scores(document: Document) -> bool:
    about = _about(document)
    return all(isinstance(about.get(name), int | float) for name in ("dense", "bm25_share", "fused"))


def _candidate(number: int, key: bytes, about: Mapping[str, Any]) -> Candidate:
    dense, share, fused = (float(about.get(name) or 0.0) for name in ("dense", "bm25_share", "fused"))
    return Candidate(number, key, dense, None, share, fused)


def _extracted(
    query: str,
    documents: Sequence[Document],
    passages: Sequence[_Passage],
    outcome: Outcome,
    wanted: Wanted,
    place: Place,
    confidence: float,
    evidence: Sequence[Place],
) -> ExtractedAnswer:
    document, (start, end) = documents[passages[place.passage].document], _offsets(passages, place)
    others = [
        {"document_id": documents[passages[one.passage].document].id, "start": first, "end": last}
        for one in evidence
        for first, last in (_offsets(passages, one),)
    ]
    meta: dict[str, Any] = {"sure": outcome == "answer", "outcome": outcome}
    if others:
        meta["evidence"] = others
    if wanted.is_long:
        text = document.content or ""
        around = long_span(text, start, end, wanted.kind)
        meta["long"] = {"text": text[around.start : around.end], "start": around.start, "end": around.end}
    return ExtractedAnswer(
        query=query,
        data=place.text,
        document=document,
        score=confidence,
        document_offset=ExtractedAnswer.Span(start, end),
        meta=meta,
    )


def _of_different_parts(answers: Sequence[ExtractedAnswer]) -> list[ExtractedAnswer]:
    """Keep the first of several answers from one sentence, step or list."""
    kept: list[ExtractedAnswer] = []
    parts: list[tuple[str, int, int]] = []
    for answer in answers:
        long = answer.meta.get("long")
        if long is not None and answer.document is not None:
            id_, start, end = answer.document.id, long["start"], long["end"]
            if any(id_ == other and start < last and end > first for other, first, last in parts):
                continue
            parts.append((id_, start, end))
        kept.append(answer)
    return kept


def _offsets(passages: Sequence[_Passage], place: Place) -> tuple[int, int]:
    """Return the start and end of a place in its document's content."""
    passage = passages[place.passage]
    start = place.start - passage.source_start + passage.start
    return start, start + len(place.text)
