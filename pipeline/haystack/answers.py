"""Post-process extracted answers: drop overlapping ones, add page numbers and the surrounding sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from haystack import Document, ExtractedAnswer, logging

from deformer_qa.reader.borders.units import statement_around

logger = logging.getLogger(__name__)

_LOOKED_AROUND = 1_000
"""How many characters on each side of an answer are searched for its sentence."""


class AnswerRules:
    """Rules for extracted answers, under the method names of Haystack's own readers."""

    def deduplicate_by_overlap(
        self, answers: list[ExtractedAnswer], overlap_threshold: float | None
    ) -> list[ExtractedAnswer]:
        """Drop answers that share too much with an earlier one of the same document.

        :param overlap_threshold: the share of the shorter answer that may overlap; None keeps all answers.
        """
        if overlap_threshold is None:
            return answers
        kept: list[ExtractedAnswer] = []
        for answer in answers:
            if self._should_keep(answer, kept, overlap_threshold):
                kept.append(answer)
        return kept

    def _should_keep(
        self, candidate_answer: ExtractedAnswer, current_answers: list[ExtractedAnswer], overlap_threshold: float
    ) -> bool:
        ours, place = candidate_answer.document, candidate_answer.document_offset
        if ours is None or place is None:
            return True
        for other in current_answers:
            there = other.document_offset
            if other.document is None or there is None or other.document.id != ours.id:
                continue
            shared = self._calculate_overlap(there.start, there.end, place.start, place.end)
            shorter = min(there.end - there.start, place.end - place.start)
            if shared and shared > overlap_threshold * shorter:
                return False
        return True

    def _calculate_overlap(self, answer1_start: int, answer1_end: int, answer2_start: int, answer2_end: int) -> int:
        """Count the characters that two places share."""
        return max(0, min(answer1_end, answer2_end) - max(answer1_start, answer2_start))

    def _add_answer_page_number(self, answer: ExtractedAnswer) -> ExtractedAnswer:
        """Add ``answer_page_number``: the document's page, plus one for each form feed before the answer."""
        document, place = answer.document, answer.document_offset
        if document is None or place is None or "page_number" not in document.meta:
            return answer
        page = document.meta["page_number"]
        if not isinstance(page, int):
            logger.warning(
                "Document {document_id}: page_number must be int, found {kind}; its answers get no page.",
                document_id=document.id,
                kind=type(page).__name__,
            )
            return answer
        if not document.content:
            return answer
        number = page + document.content.count("\f", 0, place.start)
        return replace(answer, meta={**(answer.meta or {}), "answer_page_number": number})

    def _add_context(self, answer: ExtractedAnswer) -> ExtractedAnswer:
        """Add the sentence around the answer, and the answer's offsets in it."""
        document, place = answer.document, answer.document_offset
        if document is None or place is None or not document.content:
            return answer
        first = max(0, place.start - _LOOKED_AROUND)
        near = document.content[first : place.end + _LOOKED_AROUND]
        around = statement_around(near, place.start - first, place.end - first)
        start = min(first + around.start, place.start)
        end = max(first + around.end, place.end)
        return replace(
            answer,
            context=document.content[start:end],
            context_offset=ExtractedAnswer.Span(place.start - start, place.end - start),
        )


def with_text(documents: Sequence[Document]) -> list[Document]:
    """Return the documents that have text; skip those without content with a warning, empty ones silently."""
    for document in documents:
        if document.content is None:
            logger.warning("Document {document_id} has no text; it is not read.", document_id=document.id)
    return [document for document in documents if document.content and not document.content.isspace()]
