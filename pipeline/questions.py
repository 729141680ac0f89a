"""Can this be asked at all? Told before any model is loaded."""

from __future__ import annotations

from deformer_qa.pipeline.errors import BadQuestion

_VERBS = (
    *("is", "are", "was", "were", "am", "do", "does", "did", "has", "have", "had"),
    *("can", "could", "will", "would", "shall", "should", "may", "might", "must"),
)
_FIRST_WORDS = frozenset((*_VERBS, *(f"{verb}n't" for verb in _VERBS), "can't", "won't"))


def asks_yes_or_no(question: str) -> bool:
    """Whether an English question asks for yes or no: it begins with a verb, and offers no alternatives with "or"."""
    words = question.lower().replace("\u2019", "'").split()
    return len(words) > 1 and words[0] in _FIRST_WORDS and "or" not in words


def checked_question(question: str) -> str:
    """The question, without blanks around it.

    :raises BadQuestion: where it is blank or no Unicode text.
    """
    if not question.strip():
        raise BadQuestion('The question is empty; ask something, for example: qa ask "Who wrote it?"')
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:
        raise BadQuestion("The question is not Unicode text; type or send it as UTF-8.") from None
    return question.strip()
