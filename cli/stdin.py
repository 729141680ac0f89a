"""Which question comes on stdin?"""

from __future__ import annotations

import sys

from deformer_qa.pipeline.errors import BadQuestion
from deformer_qa.pipeline.questions import MOST_CHARACTERS

_MOST_BYTES = 1 << 20
"""Read of stdin. Blanks around a question do not count for its length, so it is more than a question may have."""


def question_on_stdin() -> str:
    """All that stdin has, as UTF-8; a question that is too long is not read to its end.

    :raises BadQuestion: where it is no UTF-8, or goes on and on.
    """
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise BadQuestion(
            f"The question on stdin has over {_MOST_BYTES:,} bytes, at most {MOST_CHARACTERS:,} characters "
            "are taken; shorten it."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadQuestion(
            f"The question on stdin is not UTF-8 at byte {error.start + 1:,}; send it as UTF-8."
        ) from None
