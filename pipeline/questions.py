"""Can this be asked at all? Told before any model is loaded."""

from __future__ import annotations

import re

from deformer_qa.pipeline.errors import BadQuestion

_VERBS = (
    *("is", "are", "was", "were", "am", "do", "does", "did", "has", "have", "had"),
    *("can", "could", "will", "would", "shall", "should", "may", "might", "must"),
)
_FIRST_WORDS = frozenset((*_VERBS, *(f"{verb}n't" for verb in _VERBS), "can't", "won't"))
_ASK_FOR_SOMETHING_ELSE = frozenset(
    ("or", "who", "whom", "whose", "what", "when", "where", "which", "why", "how", "name", "tell", "guess")
)
"""A choice, a question inside the question ("Do you know who ..."), a polite request ("Could you name ...")."""
_NOT_ENGLISH = frozenset(("ist", "sind", "war", "waren", "hat", "haben", "wird", "que"))


def asks_yes_or_no(question: str) -> bool:
    """Whether an English question asks for yes or no: it begins with a verb and asks for nothing else inside.

    Where that is not clear it is read for a span, as any question.
    """
    words = re.findall(r"[\w']+", question.lower().replace("\u2019", "'"))
    if len(words) < 2 or words[0] not in _FIRST_WORDS:
        return False
    is_other = words[1][0].isdigit() or words[1] in _NOT_ENGLISH or (words[0] == "have" and words[1] == "a")
    return not is_other and not _ASK_FOR_SOMETHING_ELSE.intersection(words)


MOST_CHARACTERS = 10_000
"""Of a question that is encoded. 254 word pieces are far fewer; a longer one is refused before it costs anything."""


def checked_question(question: str, most: int | None = MOST_CHARACTERS) -> str:
    """The question, without blanks around it.

    :param most: characters; None takes any number, for a search by words alone.
    :raises BadQuestion: where it is blank, too long or no Unicode text.
    """
    question = question.strip()
    if not question:
        raise BadQuestion('The question is empty; ask something, for example: qa ask "Who wrote it?"')
    if most is not None and len(question) > most:
        raise BadQuestion(f"The question has {len(question):,} characters, at most {most:,} are taken; shorten it.")
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:
        raise BadQuestion("The question is not Unicode text; type or send it as UTF-8.") from None
    return question
