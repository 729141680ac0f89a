"""Read a file of a user's own questions; each line is checked before anything is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deformer_qa.pipeline.errors import BadQuestion, BadQuestionFile
from deformer_qa.pipeline.questions import checked_question

QUESTIONS = "questions.jsonl"
CORPUS = "corpus"
_FOR_PEOPLE = ("where", "support", "note")
_FIELDS = (
    *("id", "question", "type", "answers", "yes_no", "unanswerable"),
    *("file", "files", "also", "collection", "partial"),
)


@dataclass(frozen=True)
class GoldQuestion:
    """A question and its right answers.

    :ivar line: its line in the file, from 1
    :ivar type: the group under which its figures are counted
    :ivar golds: spans of the documents, any of which is right
    :ivar yes_no: the right label of a yes/no question, else None
    :ivar unanswerable: whether the documents have no answer
    :ivar files: files that contain the answer, relative to its collection's folder, or to the corpus if it has none
    :ivar also: more such files in other collections, relative to the corpus
    :ivar collection: the folder of the corpus that it is asked of; "" if it has none
    :ivar partial: halves of a two-part answer; one of them alone is not right
    """

    line: int
    id: str
    question: str
    type: str
    golds: tuple[str, ...] = ()
    yes_no: bool | None = None
    unanswerable: bool = False
    files: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    collection: str = ""
    partial: tuple[str, ...] = ()


def read_gold_questions(file: Path, corpus: Path) -> list[GoldQuestion]:
    """Read the questions of a JSON lines file; blank lines are skipped.

    :param corpus: the folder of the documents; files and collections that a question names must exist there.
    :raises BadQuestionFile: if something is missing, of the wrong kind or names a file that does not exist; the message
        names the line.
    """
    if not corpus.is_dir():
        raise BadQuestionFile(f"{corpus}: no folder there; expected the documents that the questions are about.")
    questions: list[GoldQuestion] = []
    line_of: dict[str, int] = {}
    for number, text in enumerate(_text(file).split("\n"), 1):
        if not text.strip():
            continue
        where = f"{file}, line {number}"
        one = _question(_record(text, where), number, where)
        if one.id in line_of:
            raise BadQuestionFile(f'{where}: the id "{one.id}" is that of line {line_of[one.id]}; ids must differ.')
        _check_places(one, corpus, where)
        line_of[one.id] = number
        questions.append(one)
    if not questions:
        raise BadQuestionFile(f"{file}: no question in it; expected one JSON object a line.")
    return questions


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise BadQuestionFile(f"{file}: no such file; expected the questions, one JSON object a line.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadQuestionFile(f"{file}, line {line}: not UTF-8; save the file as UTF-8.") from None


def _record(text: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadQuestionFile(f"{where}: not JSON ({error}); expected one object on the line.") from None
    if not isinstance(record, dict):
        raise BadQuestionFile(f"{where}: found {_shown(record)}, expected an object such as {{"
                              '"id": "1", "question": "Who ...?", "answers": ["..."]}.')  # fmt: skip
    unknown = [key for key in record if key not in _FIELDS and key not in _FOR_PEOPLE]
    if unknown:
        raise BadQuestionFile(
            f'{where}: unknown field "{unknown[0]}"; expected {", ".join(_FIELDS)}, '
            f"or for your own notes {', '.join(_FOR_PEOPLE)}."
        )
    return record


def _question(record: dict[str, Any], line: int, where: str) -> GoldQuestion:
    identity = _required(record, "id", where)
    question = _required(record, "question", where)
    try:
        question = checked_question(question)
    except BadQuestion as error:
        raise BadQuestionFile(f"{where}: question: {error}") from None
    golds, yes_no = _texts(record, "answers", where), _truth(record, "yes_no", where)
    unanswerable = _truth(record, "unanswerable", where) or False
    files = dict.fromkeys((*_several(record, "file", where), *_texts(record, "files", where)))
    also, partial = _texts(record, "also", where), _texts(record, "partial", where)
    if unanswerable and (golds or yes_no is not None or files or also):
        found = next(
            name
            for name, value in (("answers", golds), ("yes_no", yes_no is not None), ("file", files), ("also", also))
            if value
        )
        raise BadQuestionFile(f'{where}: "unanswerable" is true, yet it has "{found}"; leave one of them out.')
    if not unanswerable and not golds and yes_no is None:
        raise BadQuestionFile(
            f'{where}: nothing says what is right; give "answers" (a list of texts), '
            '"yes_no" (true or false), or "unanswerable": true.'
        )
    kind = _text_or(record, "type", "", where)
    return GoldQuestion(
        line=line,
        id=identity,
        question=question,
        type=kind or ("unanswerable" if unanswerable else "span" if yes_no is None else "yesno"),
        golds=golds,
        yes_no=yes_no,
        unanswerable=unanswerable,
        files=tuple(files),
        also=also,
        collection=_text_or(record, "collection", "", where),
        partial=partial,
    )


def _required(record: dict[str, Any], key: str, where: str) -> str:
    if key not in record:
        raise BadQuestionFile(f'{where}: "{key}" is missing; each question needs "id" and "question".')
    return _checked_text(record[key], f'{where}: "{key}"')


def _text_or(record: dict[str, Any], key: str, default: str, where: str) -> str:
    value = record.get(key)
    return default if value is None else _checked_text(value, f'{where}: "{key}"')


def _several(record: dict[str, Any], key: str, where: str) -> Sequence[str]:
    value = record.get(key)
    return () if value is None else (_checked_text(value, f'{where}: "{key}"'),)


def _texts(record: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = record.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadQuestionFile(f'{where}: "{key}" is {_shown(value)}; expected a list of texts.')
    return tuple(_checked_text(one, f'{where}: "{key}", item {number}') for number, one in enumerate(value, 1))


def _truth(record: dict[str, Any], key: str, where: str) -> bool | None:
    value = record.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadQuestionFile(f'{where}: "{key}" is {_shown(value)}; expected true, false or null.')
    return value


def _checked_text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadQuestionFile(f"{what} is {_shown(value)}; expected a text.")
    if not value.strip():
        raise BadQuestionFile(f"{what} is empty; expected a text.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadQuestionFile(f"{what} has half of a surrogate pair; write the character itself, as UTF-8.")
    return value


def _check_places(question: GoldQuestion, corpus: Path, where: str) -> None:
    """Check that each place named exists: a misspelt one would count every right file as wrong."""
    folder = corpus
    if question.collection:
        if PurePosixPath(question.collection).name != question.collection or question.collection == "..":
            raise BadQuestionFile(
                f'{where}: "collection" is "{question.collection}"; expected the name of a folder in {corpus}.'
            )
        folder = corpus / question.collection
        if not folder.is_dir():
            raise BadQuestionFile(f'{where}: "collection": there is no folder {folder}.')
    for key, names, root in (("file", question.files, folder), ("also", question.also, corpus)):
        for name in names:
            if not (root / name).is_file() and not (root / file_of_record(name)).is_file():
                raise BadQuestionFile(f'{where}: "{key}": there is no file {root / name}.')


def file_of_record(place: str) -> str:
    """Return the file of a record, "a.jsonl" for "a.jsonl#3"; any other place is returned as it is."""
    file, mark, number = place.rpartition("#")
    return file if mark and number.isdecimal() else place


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"
