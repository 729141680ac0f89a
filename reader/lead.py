"""What the encoder reads before a passage's text: the names above it, those of its document and of its section.

A passage says "it" of what its title names. Read together, both the vector and the states know what it is about.
"""

from __future__ import annotations

from dataclasses import dataclass

from deformer_qa.reader.tokens import TextTokenizer

LEAD_VERSION = 1
"""Part of the encoder id: states of passages with other leads are other states."""

_BETWEEN = " › "


@dataclass(frozen=True)
class LeadRule:
    """The rule by which names become a lead; fixed for an encoder, as its readers are trained on the same leads.

    :ivar budget: tokens of a lead at most, the mark between two names and the end of its line included
    """

    budget: int = 32

    def lead(self, title: str, heading: str, tokenizer: TextTokenizer) -> str:
        """ "Title › Heading" on one line; without a name that is missing, and without a heading that
        stands in the title.

        Where both do not fit each is cut at a blank to half of the budget, or to what the other leaves.
        """
        names = [" ".join(name.split()) for name in (title, heading)]
        names = [name for name in names if name]
        if len(names) == 2 and names[1].casefold() in names[0].casefold():
            names.pop()
        most = self.budget - tokenizer.count("\n")
        if len(names) < 2:
            return _cut(names[0], most, tokenizer) if names else ""
        room = most - tokenizer.count(_BETWEEN)
        for_heading = max(room // 2, room - tokenizer.count(names[0]))
        for_title = room - min(tokenizer.count(names[1]), for_heading)
        cut = (_cut(name, n_tokens, tokenizer) for name, n_tokens in zip(names, (for_title, for_heading), strict=True))
        # Some vocabularies have other tokens for a word with a blank before it: the whole is counted once more.
        return _cut(_BETWEEN.join(name for name in cut if name), most, tokenizer)


def with_lead(lead: str, text: str) -> str:
    """What the encoder reads: the lead on a line of its own before the text."""
    return f"{lead}\n{text}" if lead else text


def _cut(name: str, most: int, tokenizer: TextTokenizer) -> str:
    """The first words of a name, ``most`` tokens of them at most; letters where its first word alone has more."""
    most = max(0, most)
    offsets = tokenizer.offsets(name)
    if len(offsets) <= most:
        return name
    end = offsets[most - 1][1] if most else 0
    if end < len(name) and not name[end].isspace():
        blank = name.rfind(" ", 0, end)
        end = blank if blank > 0 else end
    while tokenizer.count(name[:end]) > most:  # part of a word may have more tokens than it had in the whole
        end -= 1
    return name[:end].rstrip()
