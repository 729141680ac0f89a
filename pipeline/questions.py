"""Can this be asked at all? Told before any model is loaded."""

from __future__ import annotations

from deformer_qa.pipeline.errors import BadQuestion


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
