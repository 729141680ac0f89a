"""Ask a user's own questions and keep each reply in a file, so that a stopped run can continue."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deformer_qa.lab.measure.questions import GoldQuestion
from deformer_qa.lab.measure.scores import N_FIRST, Reply, ReplyAnswer
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.errors import BadQuestionFile
from deformer_qa.pipeline.results import Answer, Answers

_FIRST_BYTES = b'{"id": '


@dataclass(frozen=True)
class Setting:
    """The inputs that replies depend on; replies of different settings must not be mixed.

    :ivar reader: digest of the reader's weights and description
    :ivar candidates: how many passages are read for each question
    :ivar together: whether one store holds all collections
    :ivar corpus: digest of the documents that were asked
    """

    reader: str
    candidates: int
    together: bool
    corpus: str

    def json(self) -> dict[str, Any]:
        return {
            "reader": self.reader,
            "candidates": self.candidates,
            "together": self.together,
            "corpus": self.corpus,
        }


def folder_digest(folder: Path) -> str:
    """Compute 16 hex digits of the names and bytes of all files below a folder, except hidden ones, as in indexing."""
    whole = hashlib.blake2b(digest_size=8)
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(place) / name
            if not file.is_file():
                continue
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()
            whole.update(os.fsencode(file.relative_to(folder)) + b"\0" + content)
    return whole.hexdigest()


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


class ReplyFile:
    """Replies as JSON lines, written one by one; without a file they are only kept in memory.

    A line that was cut short when its run was killed is removed, and its question is asked again.
    """

    def __init__(self, file: Path | None) -> None:
        """:raises BadQuestionFile: if the file exists and holds something else."""
        self.file = file
        self._lines: dict[str, dict[str, Any]] = {}
        if file is None:
            return
        with file.open("a+b") as stream:  # created now, so that an unwritable place is reported before the run
            stream.seek(0)
            content = stream.read()
            if content and not content.endswith(b"\n") and _is_json(content.rpartition(b"\n")[2]):
                content += b"\n"  # a complete line: a reply or something else
                stream.write(b"\n")
            whole, end, rest = content.rpartition(b"\n")
            for number, line in enumerate(whole.split(b"\n") if end else (), 1):
                record = _line(line, f"{file}, line {number}")
                self._lines[record["id"]] = record
            if rest and not (rest.startswith(_FIRST_BYTES) or _FIRST_BYTES.startswith(rest)):
                raise BadQuestionFile(f"{file}: holds something other than replies; choose another name.")
            stream.truncate(len(whole) + len(end))

    def reply(self, question: GoldQuestion, setting: Setting) -> Reply | None:
        """Return the reply kept for a question; None if there is none, or it was for another question text.

        :raises BadQuestionFile: if it was given in another setting.
        """
        record = self._lines.get(question.id)
        if record is None or record["question"] != question.question:
            return None
        for name, now in setting.json().items():
            found = record["setting"].get(name)
            if found != now:
                raise BadQuestionFile(
                    f"{self.file or 'replies'}: the reply to {question.id} was given with another {name} "
                    f"(found {found}, now {now}); choose another name, or remove the file to ask all again."
                )
        return reply_of_line(record)

    def add(self, question: GoldQuestion, setting: Setting, answers: Answers) -> Reply:
        """Keep the answers to a question, on disk at once, and return them as a reply."""
        record = reply_line(question, setting, answers)
        self._lines[question.id] = record
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        return reply_of_line(record)


def replies(
    pipeline: Pipeline,
    questions: Sequence[GoldQuestion],
    setting: Setting,
    kept: ReplyFile,
    on_question: Callable[[], None] = lambda: None,
) -> Iterator[Reply]:
    """Yield the reply to each question, in order; questions with kept replies are not asked again.

    :raises TextTooLong: before anything is asked; the message names the line of the question.
    """
    for one in questions:
        pipeline.reader.encoder.tokenizer.tokenize(one.question, f"the question of line {one.line}")
    for one in questions:
        reply = kept.reply(one, setting)
        if reply is None:
            answers = pipeline.ask(one.question, n_answers=N_FIRST, n_candidates=setting.candidates)
            reply = kept.add(one, setting, answers)
        on_question()
        yield reply


def reply_line(question: GoldQuestion, setting: Setting, answers: Answers) -> dict[str, Any]:
    """Make one JSON object of the answers to a question, for the file.

    The fields of the first answer are at the top, with its place for people to read; ``more`` has the other answers.
    """
    first = answers.answers[0] if answers.answers else None
    return {
        "id": question.id,
        "question": question.question,
        "given": answers.is_given,
        "nothing": answers.no_answer_is_best,
        **(_answer_json(first) if first else _NO_ANSWER),
        "heading": first.place.heading if first else None,
        "location": dict(first.place.location) if first else None,
        "no_answer_confidence": answers.no_answer_confidence,
        "more": [_answer_json(one) for one in answers.answers[1:]],
        "ms": answers.timings_ms.get("total"),
        "setting": setting.json(),
    }


_NO_ANSWER = {"answer": None, "file": None, "confidence": 0.0, "label": None, "long": None}


def _answer_json(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.place.text,
        "file": answer.place.path,
        "confidence": answer.confidence,
        "label": answer.label,
        "long": _long_text(answer),
    }


def _long_text(answer: Answer) -> str | None:
    """The text around the answer, if it is shown with one."""
    return answer.long.text if answer.long else None


def reply_of_line(record: Mapping[str, Any]) -> Reply:
    """Make a reply of the object that ``reply_line`` made."""
    answers = [record, *record["more"]] if record["answer"] is not None else []
    return Reply(
        record["id"],
        tuple(ReplyAnswer(one["answer"], one["file"], one["confidence"], one["label"], one["long"]) for one in answers),
        is_given=record["given"],
        found_nothing=record["nothing"],
    )


_KINDS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "question": (str,),
    "given": (bool,),
    "nothing": (bool,),
    "answer": (str, type(None)),
    "confidence": (int, float),
    "more": (list,),
    "setting": (dict,),
}


def _line(text: bytes, where: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(text)
        wrong = [key for key, kinds in _KINDS.items() if not isinstance(record[key], kinds)]
        if wrong:
            raise ValueError(f'"{wrong[0]}" is {record[wrong[0]]!r}')
        reply_of_line(record)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadQuestionFile(f"{where}: not a reply that this command wrote ({error}); choose another name.") from None
    return record
