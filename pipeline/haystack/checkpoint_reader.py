"""Read with a fine-tuned checkpoint as it is: every document passes the whole network together with the question.

Scores are those of ``TransformersExtractiveReader``: the sigmoid of a span's start plus end logit times a calibration
factor, not normalised over a document. As there, the network gets no token type ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from haystack import Document, ExtractedAnswer
from torch import Tensor

from deformer_qa.pipeline.haystack.answers import AnswerRules

_ANSWERS_PER_SEQUENCE = 20
_PAD_TO = 16


class CheckpointReading(AnswerRules):
    """Read with ``model``, ``tokenizer`` and ``device`` as Hugging Face loads them."""

    model: Any
    tokenizer: Any
    device: Any
    calibration_factor: float

    def _read_whole(
        self,
        query: str,
        documents: list[Document],
        *,
        top_k: int | None,
        score_threshold: float | None,
        max_seq_length: int,
        stride: int,
        max_batch_size: int | None,
        answers_per_seq: int | None,
        no_answer: bool,
        overlap_threshold: float | None,
    ) -> list[ExtractedAnswer]:
        """Return answers from the documents, all of which have text, best first."""
        per_sequence = _ANSWERS_PER_SEQUENCE if answers_per_seq is None else answers_per_seq
        queries, flattened, query_ids = self._flatten_documents([query], [documents])
        ids, mask, sequence_ids, encodings, query_ids, document_ids = self._preprocess(
            queries=queries, documents=flattened, max_seq_length=max_seq_length, query_ids=query_ids, stride=stride
        )
        start_logits, end_logits = self._logits(ids, mask, max_batch_size or len(ids))
        start, end, probabilities = self._postprocess(
            start=start_logits,
            end=end_logits,
            sequence_ids=sequence_ids,
            attention_mask=mask,
            answers_per_seq=per_sequence,
            encodings=encodings,
        )
        return self._nest_answers(
            start=start,
            end=end,
            probabilities=probabilities,
            flattened_documents=flattened,
            queries=[query],
            answers_per_seq=per_sequence,
            top_k=top_k,
            score_threshold=score_threshold,
            query_ids=query_ids,
            document_ids=document_ids,
            no_answer=no_answer,
            overlap_threshold=overlap_threshold,
        )[0]

    @staticmethod
    def _flatten_documents(
        queries: list[str], documents: list[list[Document]]
    ) -> tuple[list[str], list[Document], list[int]]:
        """Pair each query with each of its documents: return the queries, the documents and the queries' numbers."""
        pairs = [(number, one) for number, own in enumerate(documents) for one in own]
        return [queries[number] for number, _ in pairs], [one for _, one in pairs], [number for number, _ in pairs]

    def _preprocess(
        self, *, queries: list[str], documents: list[Document], max_seq_length: int, query_ids: list[int], stride: int
    ) -> tuple[Tensor, Tensor, Tensor, list[Any], list[int], list[int]]:
        """Cut documents into sequences of at most ``max_seq_length`` tokens, which overlap by ``stride`` tokens.

        :return: token ids, attention mask, sequence ids (-1 for special tokens), each *Shape:* (sequences, tokens), the
            tokenizer's encodings, and for each sequence the numbers of its query and of its document.
        """
        numbers = [number for number, one in enumerate(documents) if one.content is not None]
        encoded = self.tokenizer(
            [queries[number] for number in numbers],
            [documents[number].content for number in numbers],
            padding=True,
            truncation=True,
            max_length=max_seq_length,
            return_tensors="pt",
            return_overflowing_tokens=True,
            stride=stride,
        )
        place = self.device.first_device.to_torch()
        pairs = [numbers[int(pair)] for pair in encoded.overflow_to_sample_mapping]
        sides = [[-1 if side is None else side for side in one.sequence_ids] for one in encoded.encodings]
        return (
            encoded.input_ids.to(place),
            encoded.attention_mask.to(place),
            torch.tensor(sides, device=place),
            encoded.encodings,
            [query_ids[number] for number in pairs],
            pairs,
        )

    @torch.inference_mode()
    def _logits(self, ids: Tensor, mask: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Compute start and end logits, each *Shape:* (sequences, tokens), in batches of similar length."""
        start, end = torch.zeros(ids.shape), torch.zeros(ids.shape)
        lengths = mask.sum(1)
        order = lengths.argsort(stable=True)
        pads_behind = bool(mask[:, 0].all())
        for rows in torch.split(order, batch):
            needed = -(-int(lengths[rows].max()) // _PAD_TO) * _PAD_TO
            width = min(ids.shape[1], needed) if pads_behind else ids.shape[1]
            made = self.model(input_ids=ids[rows, :width], attention_mask=mask[rows, :width])
            start[rows.cpu(), :width] = made.start_logits.float().cpu()
            end[rows.cpu(), :width] = made.end_logits.float().cpu()
        return start, end

    def _postprocess(
        self,
        *,
        start: Tensor,
        end: Tensor,
        sequence_ids: Tensor,
        attention_mask: Tensor,
        answers_per_seq: int,
        encodings: Sequence[Any],
    ) -> tuple[list[list[int]], list[list[int]], list[Tensor]]:
        """Return the best spans of each sequence: start characters, end characters and probabilities, best first.

        :param start, end: logits, *Shape:* (sequences, tokens).
        """
        of_document = ((sequence_ids == 1) & (attention_mask == 1)).cpu()
        start, end = (logits.cpu().masked_fill(~of_document, -torch.inf) for logits in (start, end))
        n_tokens = start.shape[-1]
        ordered = torch.ones(n_tokens, n_tokens, dtype=torch.bool).triu()
        starts, ends, probabilities = [], [], []
        for first, last, encoding in zip(start, end, encodings, strict=True):
            logits = (first[:, None] + last[None, :]).masked_fill(~ordered, -torch.inf)
            likely = torch.sigmoid(logits * self.calibration_factor).flatten()
            found = likely.topk(min(answers_per_seq, len(likely)))
            places = found.indices[found.values > 0].tolist()
            starts.append([encoding.token_to_chars(place // n_tokens)[0] for place in places])
            ends.append([encoding.token_to_chars(place % n_tokens)[1] for place in places])
            probabilities.append(found.values[found.values > 0])
        return starts, ends, probabilities

    def _nest_answers(
        self,
        *,
        start: Sequence[Sequence[int]],
        end: Sequence[Sequence[int]],
        probabilities: Sequence[Tensor],
        flattened_documents: Sequence[Document],
        queries: Sequence[str],
        answers_per_seq: int,
        top_k: int | None,
        score_threshold: float | None,
        query_ids: Sequence[int],
        document_ids: Sequence[int],
        no_answer: bool,
        overlap_threshold: float | None,
    ) -> list[list[ExtractedAnswer]]:
        """Return each query's answers, best first; "no answer" scores the probability that no other is right."""
        found: list[list[ExtractedAnswer]] = [[] for _ in queries]
        rows = zip(query_ids, document_ids, start, end, probabilities, strict=True)
        for asked, number, starts, ends, likely in rows:
            document = flattened_documents[number]
            for first, last, score in zip(starts, ends, likely, strict=True):
                found[asked].append(
                    ExtractedAnswer(
                        query=queries[asked],
                        data=(document.content or "")[first:last],
                        document=document,
                        score=float(score),
                        document_offset=ExtractedAnswer.Span(first, last),
                        meta={},
                    )
                )
        nested = []
        for query, answers in zip(queries, found, strict=True):
            answers.sort(key=lambda answer: answer.score, reverse=True)
            kept = self.deduplicate_by_overlap(answers, overlap_threshold)[:top_k]
            likely_none = math.prod(1 - answer.score for answer in kept)
            kept = [self._add_context(self._add_answer_page_number(answer)) for answer in kept]
            nested.append(self._finished(query, kept, likely_none if no_answer else None, score_threshold))
        return nested

    def _finished(
        self, query: str, answers: list[ExtractedAnswer], likely_none: float | None, score_threshold: float | None
    ) -> list[ExtractedAnswer]:
        """Sort the answers and drop those below the threshold; with ``likely_none``, "no answer" is among them."""
        if likely_none is not None:
            answers = [*answers, ExtractedAnswer(query=query, data=None, document=None, score=likely_none, meta={})]
        answers = sorted(answers, key=lambda answer: answer.score, reverse=True)
        return [answer for answer in answers if score_threshold is None or answer.score >= score_threshold]
