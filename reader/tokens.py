"""Text to token ids with the place of each token in the text, for one encoder's tokenizer."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from deformer_qa.reader.errors import ModelNotFound, TextTooLong, UnsupportedModel


@dataclass(frozen=True)
class TokenizedText:
    """One text as the encoder sees it: [CLS], its tokens, [SEP].

    :ivar ids: token ids, special tokens included
    :ivar offsets: for each id, start and end in code points of the text; (0, 0) for special tokens
    :ivar words: for each id, the number of the word it is a piece of; -1 for special tokens
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


class TextTokenizer:
    """The tokenizer of an encoder, with no truncation and no padding of its own."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """:param max_tokens: of one text, [CLS] and [SEP] included."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.n_special = tokenizer.num_special_tokens_to_add(False)
        probe = tokenizer.encode("a")
        if self.n_special != 2 or probe.special_tokens_mask[0] != 1 or probe.special_tokens_mask[-1] != 1:
            raise UnsupportedModel("tokenizer.json: expected one special token before and one after each text.")

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int) -> TextTokenizer:
        """The tokenizer in a model folder: ``tokenizer.json``, or what transformers can make of older files."""
        path = folder / "tokenizer.json"
        if path.is_file():
            try:
                return cls(Tokenizer.from_file(str(path)), max_tokens)
            except UnsupportedModel:
                raise
            except Exception as error:  # the tokenizers library raises no narrower one
                raise ModelNotFound(f"{path}: not a tokenizer ({error}); fetch the model again.") from error
        if not (folder / "vocab.txt").is_file():
            raise ModelNotFound(
                f"{folder}: no tokenizer.json and no vocab.txt there; it is not a complete model folder."
            )
        from transformers import AutoTokenizer

        return cls(AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer, max_tokens)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token of a text of any length, without special tokens."""
        return _whole_letters(text, self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def count(self, text: str) -> int:
        """Tokens of a text of any length, without special tokens."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def tokenize(self, text: str, what: str = "text") -> TokenizedText:
        """The text as the encoder sees it.

        :param what: what the text is, for the error message.
        :raises TextTooLong: where it has more tokens than the encoder takes.
        """
        encoding = self._tokenizer.encode(text)
        if len(encoding.ids) > self.max_tokens:
            raise TextTooLong(what, len(encoding.ids) - self.n_special, self.max_tokens - self.n_special)
        words = tuple(-1 if word is None else word for word in encoding.word_ids)
        return TokenizedText(tuple(encoding.ids), tuple(_whole_letters(text, encoding.offsets)), words)


def _whole_letters(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets whose ends take in combining marks: the tokenizer drops those, but they belong to their letter."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return list(offsets)
    whole = []
    for start, end in offsets:
        while start < end < len(text) and unicodedata.combining(text[end]):
            end += 1
        whole.append((start, end))
    return whole
