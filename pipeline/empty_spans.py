"""Which spans answer nothing? Those without a letter or digit, and those that only repeat the question's words."""

from __future__ import annotations

import re

from deformer_qa.pipeline.questions import Wanted, wanted_by

_WORD = re.compile(r"\w+(?:[-.'’/]\w+)*")  # "max_connections" and "build-essential" are one word each
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the this that these those it its he him his she her they them their we our you your me my and"
        " but nor so if then than as of in at by to from with for about into onto within without through"
        " during until is are was were be been being do does did has have had can could would shall should"
        " must who whom whose which what when where why how there",
    )
)
"""English words that answer nothing alone. "On", "off", "or", "no", "may" and "will" may: values, months and names."""


class EmptySpans:
    """What is no answer to one question."""

    def __init__(self, question: str, wanted: Wanted | None = None) -> None:
        """:param wanted: the kind of answer wanted, where it is known already."""
        wanted = wanted or wanted_by(question)
        # A choice names its answers, and what confirms a yes/no question repeats it.
        repeats = wanted.kind == "yes_no" or wanted.is_choice or "between" in question.lower()
        self._words = _FUNCTION_WORDS if repeats else _FUNCTION_WORDS.union(map(_plain, _WORD.findall(question)))

    def __contains__(self, text: str) -> bool:
        """Whether a span of this text answers nothing."""
        if not any(character.isalnum() for character in text):
            return True
        return all(self._is_empty(word) for word in _WORD.findall(text))

    def _is_empty(self, word: str) -> bool:
        if _plain(word) not in self._words:
            return False
        is_acronym = word.isupper() and _plain(word) in _FUNCTION_WORDS  # "US", "IT", "WHO", blood group "A"
        return not is_acronym


def _plain(word: str) -> str:
    return word.casefold().replace("’", "'").removesuffix("'s")
