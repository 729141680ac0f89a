"""Turns text into token ids with their offsets in the text, for one encoder's tokenizer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from deformer_qa.reader.errors import ModelNotFound, TextTooLong, UnsupportedModel
from deformer_qa.reader.models import OLD_VOCABULARIES
from deformer_qa.reader.scripts import is_mark_of_a_script

_BLANK = re.compile(r"[ \t\n]")
_PIECE = 1_000_000  # characters of a long text that are tokenised at once


@dataclass(frozen=True)
class TokenizedText:
    """One text as the encoder sees it: its classification token, its tokens, its separator.

    Row 0 is the classification token in every family, even if the model reads it last (XLNet's <cls>).

    :ivar ids: token ids, including special tokens
    :ivar offsets: for each id, start and end in code points of the text; (0, 0) for special tokens
    :ivar words: for each id, the number of its word; -1 for special tokens
    """

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    words: tuple[int, ...]

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """Start and end in the text of the whole words that tokens ``first`` to ``last`` (inclusive) belong to."""
        while self.words[first - 1] == self.words[first]:
            first -= 1
        while last + 1 < len(self.words) and self.words[last + 1] == self.words[last]:
            last += 1
        return self.offsets[first][0], self.offsets[last][1]

    def first_row(self, place: int) -> int:
        """The row of the first token that ends after an offset in the text; that of the separator if none does."""
        return next((row for row, (_, end) in enumerate(self.offsets) if end > place), len(self.offsets) - 1)


class TextTokenizer:
    """The tokenizer of an encoder, without truncation and padding."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, *, classification_last: bool = False) -> None:
        """A tokenizer that adds a classification token and a separator to each text.

        :param max_tokens: of one text, including those two.
        :param classification_last: both stand after the text, the classification token last.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._classification_last = classification_last
        self.max_tokens = max_tokens
        self.n_special = tokenizer.num_special_tokens_to_add(False)
        special = tokenizer.encode("a").special_tokens_mask
        places = (-2, -1) if classification_last else (0, -1)
        if self.n_special != 2 or sum(special) != 2 or not all(special[place] for place in places):
            where = "two special tokens after" if classification_last else "one special token before and one after"
            raise UnsupportedModel(f"tokenizer.json: expected {where} each text.")
        self._parts_at_blanks = isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str("a.") if tokenizer.pre_tokenizer else []
        self._words_are_between_blanks = len(pieces) < 2
        self._tokens_take_in_blanks = any(" " in "a b"[start:end] for start, end in self._encoded_offsets("a b"))

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int, *, classification_last: bool = False) -> TextTokenizer:
        """Load the tokenizer of a model folder: ``tokenizer.json``, or one that transformers makes from older files."""
        path = folder / "tokenizer.json"
        if path.is_file():
            try:
                return cls(Tokenizer.from_file(str(path)), max_tokens, classification_last=classification_last)
            except UnsupportedModel:
                raise
            except Exception as error:  # the tokenizers library raises no narrower class
                raise ModelNotFound(f"{path}: not a tokenizer ({error}); fetch the model again.") from error
        if not any((folder / name).is_file() for name in OLD_VOCABULARIES):
            raise ModelNotFound(
                f"{folder}: no tokenizer.json and no vocab.txt there; it is not a complete model folder."
            )
        from transformers import AutoTokenizer

        try:
            made = AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer
        except Exception as error:  # of many kinds, such as a missing library for the old file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelNotFound(f"{folder}: no tokenizer.json, and none can be made here ({reason}).") from error
        return cls(made, max_tokens, classification_last=classification_last)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token of a text of any length, without special tokens."""
        return self._placed(text, self._encoded_offsets(text))

    def count(self, text: str) -> int:
        """The number of tokens of a text of any length, without special tokens."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def tokenize(self, text: str, what: str = "text") -> TokenizedText:
        """Tokenize a text for the encoder.

        :param what: the kind of text, for the error message.
        :raises TextTooLong: if it has more tokens than the encoder takes.
        """
        encoding = self._tokenizer.encode(text)
        if len(encoding.ids) > self.max_tokens:
            raise TextTooLong(what, len(encoding.ids) - self.n_special, self.max_tokens - self.n_special)
        offsets = self._placed(text, encoding.offsets)
        if self._words_are_between_blanks:
            words = _words(text, offsets, encoding.special_tokens_mask)
        else:
            words = [-1 if word is None else word for word in encoding.word_ids]
        ids = encoding.ids
        if self._classification_last:
            ids, offsets, words = ([*one[-1:], *one[:-1]] for one in (ids, offsets, words))
        return TokenizedText(tuple(ids), tuple(offsets), tuple(words))

    def _encoded_offsets(self, text: str) -> list[tuple[int, int]]:
        """Offsets, in pieces for a long text if no token crosses a blank: the library keeps 150 bytes per token."""
        offsets: list[tuple[int, int]] = []
        start = 0
        while start < len(text):
            blank = _BLANK.search(text, start + _PIECE) if self._parts_at_blanks else None
            end = blank.start() if blank else len(text)
            piece = text[start:end] if (start, end) != (0, len(text)) else text
            offsets += [
                (start + a, start + b) for a, b in self._tokenizer.encode(piece, add_special_tokens=False).offsets
            ]
            start = end
        return offsets

    def _placed(self, text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        placed = _whole_letters(text, offsets)
        return [_without_blanks(text, *one) for one in placed] if self._tokens_take_in_blanks else placed


def _whole_letters(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Extend offsets over combining marks, which the tokenizer drops although they belong to their letter.

    In composed text this concerns only scripts without composition, so passages of other texts are unchanged.
    """
    if text.isascii():
        return list(offsets)
    belongs = is_mark_of_a_script if unicodedata.is_normalized("NFC", text) else _is_any_mark
    whole = []
    for start, end in offsets:
        while start < end < len(text) and belongs(text[end]):
            end += 1
        whole.append((start, end))
    return whole


def _is_any_mark(character: str) -> bool:
    return unicodedata.combining(character) != 0 or is_mark_of_a_script(character)


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """A token's offsets without the blanks before it, which byte-level and SentencePiece vocabularies include."""
    while start < end and text[start].isspace():
        start += 1
    return start, end


def _words(text: str, offsets: Sequence[tuple[int, int]], special: Sequence[int]) -> list[int]:
    """Number the words, for tokenizers whose own words end only at blanks and so include punctuation.

    A word continues if two tokens meet in letters or digits, or share a character.
    """
    words: list[int] = []
    number, before = 0, 0
    for (start, end), is_special in zip(offsets, special, strict=True):
        if is_special:
            words.append(-1)
            continue
        meets = start == before and 0 < start < end and text[start - 1].isalnum() and text[start].isalnum()
        if not (meets or start < before):
            number += 1
        words.append(number)
        before = end
    return words
