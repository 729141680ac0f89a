"""``qa ask``: one question, or a session of them."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli.options import (
    loaded,
    located,
    parsed,
    reader_option,
    store_option,
    threads_option,
    where_option,
)
from deformer_qa.cli.output import (
    JSON_FORMS,
    NOTHING_MATCHES,
    ExitCode,
    console,
    format_option,
    message,
    place_line,
    print_json,
    print_plain,
    show_answers,
    words_of_caution,
)
from deformer_qa.cli.terminal.streams import behind, harmless, printable, printable_lines
from deformer_qa.pipeline import N_ANSWERS, N_CANDIDATES

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.pipeline.filters import Filter
    from deformer_qa.pipeline.results import Answers


@click.command()
@click.argument("question", required=False)
@store_option
@reader_option
@where_option
@click.option(
    "-n",
    "--answers",
    type=click.IntRange(1, 100),
    default=N_ANSWERS,
    show_default=True,
    metavar="N",
    help="Show at most N answers.",
)
@click.option(
    "-k",
    "--candidates",
    type=click.IntRange(1, 1000),
    default=N_CANDIDATES,
    show_default=True,
    metavar="N",
    help="Read N passages for an answer.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1, 200),
    default=30,
    show_default=True,
    metavar="N",
    help="Longest answer, in word pieces.",
)
@click.option(
    "--max-risk",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="R",
    help="Answer only if sure enough that at most a share R of the answers given is wrong; else exit with 1. "
    "docs/reference/answers.md says what is guaranteed, and for which questions.",
)
@threads_option("Read N passages at once.")
@click.option("--explain", is_flag=True, help="Say on stderr how long each part took, and in which engine.")
@click.option("--strict-answers", is_flag=True, help="Do not count an unsure best guess as an answer: exit with 1.")
@format_option
def ask(
    question: str | None,
    store: Path | None,
    reader_folder: Path | None,
    where: str | None,
    answers: int,
    candidates: int,
    max_tokens: int,
    max_risk: float | None,
    n_threads: int | None,
    explain: bool,
    strict_answers: bool,
    form: str,
) -> int:
    """Answer QUESTION from the index; "-" reads it from stdin, no QUESTION opens a session.

    A question may have up to 254 word pieces. A best guess is marked as not sure. Exit code 1 means that
    nothing was found or, with --max-risk or --strict-answers, that no answer is sure enough.
    """
    if question == "-":
        from deformer_qa.cli.options import question_on_stdin

        question = question_on_stdin()
    if question is None and not sys.stdin.isatty():
        raise click.UsageError('a QUESTION is needed (or "-" to read it from stdin).', click.get_current_context())
    if question is not None:
        from deformer_qa.pipeline.questions import checked_question

        question = checked_question(question)
    wanted = parsed(where)
    with opened(store, reader_folder, n_threads) as pipeline:
        options = AskOptions(answers, candidates, max_tokens, max_risk, wanted, strict_answers)
        if question is None:
            return Session(pipeline, options).run()
        started = time.process_time()
        made = options.ask(pipeline, question)
        if explain:
            message(_explained(pipeline, made, candidates, started))
        print_answers(made, form, strict=strict_answers)
        return ExitCode.OK if is_answered(made, strict=strict_answers) else ExitCode.NEGATIVE


def _explained(pipeline: Pipeline, made: Answers, n_candidates: int, started: float) -> str:
    """Where the time went, on one line.

    :param started: processor time of the process before it asked, in seconds.
    """
    reader, times = pipeline.reader, made.timings_ms
    n_read = min(n_candidates, pipeline.snapshot.n_passages)
    words = {
        "encode": "the question, in " + reader.encoder.question_engine,
        "retrieve": "candidates",
        "load": f"states of up to {n_read} passages",
        "read": f"joint layers, in {reader.choice.engine}",
        "rank": "spans",
    }
    parts = [f"{name} {times[name]:.1f} ({what})" for name, what in words.items()]
    return f"qa: start {started * 1000:.0f} ms of CPU; {', '.join(parts)}; total {times['total']:.1f} ms"


@dataclass
class AskOptions:
    """The options of a question; a session may change them."""

    n_answers: int
    n_candidates: int
    max_tokens: int
    max_risk: float | None
    where: Filter | None = None
    strict: bool = False

    def ask(self, pipeline: Pipeline, question: str) -> Answers:
        """The answers to one question."""
        return pipeline.ask(
            question,
            n_answers=self.n_answers,
            n_candidates=self.n_candidates,
            max_tokens=self.max_tokens,
            max_risk=self.max_risk,
            where=self.where,
        )


def opened(store: Path | None, reader_folder: Path | None, n_threads: int | None = None) -> Pipeline:
    """Open the pipeline over the chosen store; a notice about the store goes to stderr."""
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.reader.shipped import SHIPPED
    from deformer_qa.store import open_snapshot

    folder = reader_folder or SHIPPED
    # The store first, because it needs no model: a missing store or another encoder is reported at once.
    snapshot = open_snapshot(located(store), encoder_id=describe_reader(folder).encoder_id)
    if snapshot.notice:
        message(f"qa: {snapshot.notice}")
    from deformer_qa.pipeline.ask import Pipeline

    return Pipeline(snapshot, loaded(reader_folder, n_threads))


def is_answered(answers: Answers, *, strict: bool) -> bool:
    """Whether there is an answer; a guess counts too, unless --max-risk or --strict-answers ask for more."""
    if strict and not answers.sure:
        return False
    return answers.is_given if answers.risk else answers.outcome != "nothing"


def print_answers(answers: Answers, form: str, *, strict: bool = False) -> None:
    """Print answers in one of the output forms."""
    if answers.nothing_matches and form != "human":
        message(f"qa: {NOTHING_MATCHES}")
    if form in JSON_FORMS:
        print_json(answers.json(), indent=form == "json")
    elif form == "human":
        show_answers(answers, strict=strict)
    elif not answers.nothing_matches:
        _print_lines(answers, strict)


def _print_lines(answers: Answers, strict: bool) -> None:
    """Print one line per answer; a warning about unsure answers goes to stderr."""
    caution = words_of_caution(answers, strict=strict)
    if answers.outcome == "nothing":
        places = dict.fromkeys(place.path for place in answers.nearest)
        message(f"qa: {caution}" + (f" Nearest: {', '.join(places)}" if places else ""))
        return
    if caution:
        message(f"qa: {caution}")
    for answer in answers.answers:
        place = answer.place
        span, where = f"{place.path}:{place.start}-{place.end}", place.location_in_words
        more = answer.label or (answer.long.text if answer.long else None)
        print_plain(place.text, f"{answer.confidence:.3f}", span, where, *([more] if more else []))


@contextmanager
def prompt_session() -> Iterator[PromptSession[str]]:
    """A prompt on the terminal. Unless the terminal is dumb it writes past the safe stream, to move the cursor."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
    from prompt_toolkit.output import create_output
    from prompt_toolkit.utils import is_dumb_terminal

    class Harmless(Processor):
        """Replaces characters one for one, so that the cursor stays at its place in the text."""

        def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
            return Transformation([(style, harmless(text)) for style, text, *_ in transformation_input.fragments])

    file = _history_file()
    history: History = FileHistory(str(file)) if file else InMemoryHistory()
    output = create_output(sys.stdout if is_dumb_terminal() else behind(sys.stdout))
    with create_app_session(output=output):
        yield PromptSession(history=history, input_processors=[Harmless()])


def _history_file() -> Path | None:
    """The history file of questions; None if it cannot be written."""
    import platformdirs

    try:
        folder = Path(platformdirs.user_state_dir("qa", appauthor=False))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "history"
        file.touch()
    except (OSError, RuntimeError):  # RuntimeError: the home folder is unknown
        return None
    return file


_HELP = """\
Type a question, or:
  :sources   show the passages of the last answers in full
  :k N       read N passages for each question (now {k})
  :n N       show at most N answers (now {n})
  :strict    stop counting an unsure best guess as an answer, or count it again (now {strict})
  :where F   ask only documents whose metadata match, such as :where year >= 2020; without F all (now {where})
  :help      this list
  :quit      leave (also Ctrl-D)"""


class Session:
    """Answers questions until the user leaves."""

    def __init__(self, pipeline: Pipeline, options: AskOptions) -> None:
        self.pipeline, self.options = pipeline, options
        self._last: Answers | None = None
        self._out = console()

    def run(self) -> int:
        """Run until :quit or the end of input; returns exit code 0."""
        gc.enable()  # a session may be long
        snapshot = self.pipeline.snapshot
        self._out.print(f"{snapshot.n_documents:,} documents, {snapshot.n_passages:,} passages. :help for help.")
        with prompt_session() as prompt:
            while True:
                try:
                    line = prompt.prompt("? ").strip()
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return ExitCode.OK
                if line in (":quit", ":q", ":exit"):
                    return ExitCode.OK
                if line:
                    self.answer(line)

    def answer(self, line: str) -> None:
        """Handle one line, a command or a question. A user's error is printed, and the session goes on."""
        from deformer_qa.pipeline.errors import PipelineError
        from deformer_qa.reader.errors import ReaderError
        from deformer_qa.store import StoreError

        try:
            if line.startswith(":"):
                self._command(line)
                return
            self._last = self.options.ask(self.pipeline, line)
        except (ReaderError, PipelineError, StoreError) as error:
            self._out.print(printable(str(error)), style="red")
            return
        show_answers(self._last, strict=self.options.strict)

    def _command(self, line: str) -> None:
        name, rest = [*line[1:].split(None, 1), "", ""][:2]
        arguments = rest.split()
        if name in ("help", "h"):
            where = printable(self.options.where.text) if self.options.where else "all"
            strict = "on" if self.options.strict else "off"
            options = {"k": self.options.n_candidates, "n": self.options.n_answers, "where": where, "strict": strict}
            self._out.print(_HELP.format(**options))
        elif name == "strict" and not rest:
            self.options.strict = not self.options.strict
            self._out.print(f"strict = {'on' if self.options.strict else 'off'}")
        elif name == "where":
            self._where(rest)
        elif name == "sources":
            self._sources()
        elif name in ("k", "n") and len(arguments) == 1 and _number(arguments[0]):
            if name == "k":
                self.options.n_candidates = int(arguments[0])
            else:
                self.options.n_answers = int(arguments[0])
            self._out.print(f"{name} = {arguments[0]}")
        elif name in ("k", "n"):
            self._out.print(f":{name} takes a number from 1 to 1000.", style="red")
        else:
            self._out.print(f"Unknown command :{printable(name)}; :help lists all commands.", style="red")

    def _where(self, text: str) -> None:
        wanted = parsed(text or None)
        n_documents = len(wanted.documents(self.pipeline.snapshot)) if wanted else self.pipeline.snapshot.n_documents
        self.options.where = wanted
        self._out.print(f"{n_documents:,} documents will be asked.")

    def _sources(self) -> None:
        if self._last is None:
            self._out.print("No question was asked yet.")
            return
        shown = self._last.nearest or [answer.place for answer in self._last.answers]
        places = {place.passage: place for place in shown}
        passage_ids = list(places)
        texts = self.pipeline.snapshot.passage_texts(passage_ids)
        for passage_id, text in zip(passage_ids, texts, strict=True):
            self._out.print(place_line(places[passage_id]), style="cyan")
            self._out.print(printable_lines(text))


def _number(text: str) -> bool:
    return text.isdecimal() and len(text) <= 4 and 0 < int(text) <= 1000
