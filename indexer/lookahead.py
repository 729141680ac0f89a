"""Reads files, and cuts and encodes their passages on several threads, before the writer needs them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from deformer_qa.indexer.encoding import TextEncoder
from deformer_qa.indexer.formats import ParsedDocument
from deformer_qa.indexer.plan import FileWork, Pair, pair_documents
from deformer_qa.indexer.reading import ReadFile, Reading
from deformer_qa.store import PassageDraft, PendingRow, Writer, block_key, encoder_input

_MOST_STEPS = 64  # files and passages a thread may be ahead: work for the time that a commit or a slow file takes
_MOST_CHARACTERS = 2**22  # of text in the files ahead; a longer file waits alone
_LEADS_KEPT = 64  # for the latest headings; a heading has many passages
_LONGEST_MARKS = 1_000  # characters; so that a text of punctuation alone costs no more than any other
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Passage:
    """A passage on its way into the store.

    :ivar row: its states, encoded by then; None if the store has them
    """

    draft: PassageDraft
    row: Future[PendingRow] | None


@dataclass
class DocumentAhead:
    """A document, with those of its passages that are ahead of the writer.

    :ivar is_cut: whether no more passages follow
    :ivar error: of the encoder, why none follow
    """

    pair: Pair
    passages: deque[Passage] = field(default_factory=deque)
    is_cut: bool = False
    error: Exception | None = None


class FileAhead:
    """A file that was read, with its documents.

    :ivar documents: in order
    :ivar left: indexed documents that are not among these
    """

    def __init__(self, work: FileWork, reading: Reading) -> None:
        self.work, self.reading = work, reading
        pairs, self.left = pair_documents(reading.parsed.documents, work) if isinstance(reading, ReadFile) else ([], [])
        self.documents = [DocumentAhead(pair) for pair in pairs]
        self.n_characters = sum(len(pair.document.text) for pair in pairs)


class Lookahead:
    """Gives files, and the passages of their new documents, in order, while threads encode those that follow.

    Everything but the encoding happens in the caller's thread, whenever the caller asks for more. A text that passes
    several times is encoded once.
    """

    def __init__(
        self, writer: Writer, encoder: TextEncoder, n_threads: int, files: Iterable[tuple[FileWork, Reading]]
    ) -> None:
        """:param files: drawn some time before ``files`` gives them."""
        self._writer, self._encoder = writer, encoder
        self._threads = ThreadPoolExecutor(n_threads, "encoder")
        self._rows: dict[bytes, Future[PendingRow]] = {}  # of the passages ahead
        self._files: deque[FileAhead] = deque()
        self._n_passages = self._n_characters = 0
        self._most_steps = _MOST_STEPS * n_threads
        self._steps = self._draw(files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def files(self) -> Iterator[FileAhead]:
        """The files; take the passages of each before the next."""
        while self._filled(lambda: bool(self._files)):
            file = self._files.popleft()
            self._n_characters -= file.n_characters
            yield file

    def passages(self, document: DocumentAhead) -> Iterator[Passage]:
        """The passages of a document; none follow after ``drop``."""
        while self._filled(lambda: bool(document.passages) or document.is_cut) and document.passages:
            yield self._taken(document)

    def drop(self, document: DocumentAhead) -> None:
        """Leave out the rest of a document."""
        document.is_cut = True
        while document.passages:
            self._taken(document)

    def _taken(self, document: DocumentAhead) -> Passage:
        passage = document.passages.popleft()
        self._rows.pop(passage.draft.key, None)
        self._n_passages -= 1
        return passage

    def _filled(self, is_enough: Callable[[], bool]) -> bool:
        """Draw files and passages until there is enough and no room for more; False if there never is enough."""
        while not is_enough() or self._has_room():
            if not next(self._steps, False):
                return is_enough()
        return True

    def _has_room(self) -> bool:
        return self._n_passages + len(self._files) < self._most_steps and self._n_characters < _MOST_CHARACTERS

    def _draw(self, files: Iterable[tuple[FileWork, Reading]]) -> Iterator[bool]:
        """Each step reads a file, or cuts a passage."""
        for work, reading in files:
            file = FileAhead(work, reading)
            self._files.append(file)
            self._n_characters += file.n_characters
            yield True
            for document in file.documents:
                if not document.pair.is_same:
                    yield from self._cut(document)

    def _cut(self, document: DocumentAhead) -> Iterator[bool]:
        inputs = _inputs(document.pair.document, self._encoder)
        while not document.is_cut:
            try:
                draft, whole = next(inputs, (None, ""))
            except Exception as error:  # the fault is in this text, or in a name above it
                draft, document.error = None, error
            if draft is None:
                document.is_cut = True
                return
            document.passages.append(Passage(draft, self._row(draft.key, whole)))
            self._n_passages += 1
            yield True

    def _row(self, key: bytes, whole: str) -> Future[PendingRow] | None:
        if self._writer.has_row(key):
            return None
        if key not in self._rows:
            self._rows[key] = self._threads.submit(self._encode, key, whole)
        return self._rows[key]

    def _encode(self, key: bytes, whole: str) -> PendingRow:
        encoded = self._encoder.encode(whole)
        return self._writer.make_row(key, encoded.vector, encoded.states)


def _inputs(document: ParsedDocument, encoder: TextEncoder) -> Iterator[tuple[PassageDraft, str]]:
    """The passages of a document with their encoder inputs."""
    leads = _Leads(document, encoder)
    for span in encoder.borders.split(document.text, encoder.tokenizer):
        lead = leads.at(span.start)
        whole = encoder_input(lead, document.text[span.start : span.end])
        yield PassageDraft(span.start, span.end, lead, block_key(whole)), whole


class _Leads:
    """The leads of a document's passages: the title and heading, as its content states them, that precede each."""

    def __init__(self, document: ParsedDocument, encoder: TextEncoder) -> None:
        self._text, self._outline = document.text, document.outline
        self._offsets = [offset for offset, _ in document.outline]
        title = document.title if document.has_own_title else ""
        self._lead = lru_cache(maxsize=_LEADS_KEPT)(lambda heading: encoder.lead(title, heading))

    def at(self, start: int) -> str:
        """The lead of the passage that starts here: its last heading before, unless the passage begins with that."""
        number = bisect_right(self._offsets, start)
        nearest = self._offsets[max(number - 1, 0) : number + 1]
        begins_with_one = any(self._is_wordless(min(start, one), max(start, one)) for one in nearest)
        return self._lead("" if begins_with_one or not number else self._outline[number - 1][1])

    def _is_wordless(self, start: int, end: int) -> bool:
        """Whether only blanks and punctuation, such as the marks of a heading, stand between two offsets."""
        return end - start <= _LONGEST_MARKS and _LETTER_OR_DIGIT.search(self._text, start, end) is None
