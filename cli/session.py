"""``qa ask`` without a question: a session, with history and a few commands that begin with a colon."""

from __future__ import annotations

from deformer_qa.cli import exit_codes
from deformer_qa.cli.answers_shown import place_line, show_answers
from deformer_qa.cli.ask import AskOptions
from deformer_qa.cli.display import printable, printable_lines
from deformer_qa.cli.output import console
from deformer_qa.cli.where import parsed
from deformer_qa.pipeline.asking import Pipeline
from deformer_qa.pipeline.results import Answers

_HELP = """\
Type a question, or:
  :sources   the last answers' passages, whole
  :k N       read N passages for each question (now {k})
  :n N       show N answers at most (now {n})
  :strict    take a best guess for no answer, or no longer (now {strict})
  :where F   ask only documents whose metadata match, as :where year >= 2020; without F all (now {where})
  :help      this list
  :quit      leave (also Ctrl-D)"""


class Session:
    """Asks until the user leaves."""

    def __init__(self, pipeline: Pipeline, options: AskOptions) -> None:
        self.pipeline, self.options = pipeline, options
        self._last: Answers | None = None
        self._out = console()

    def run(self) -> int:
        """Until :quit or the end of input; the exit code is 0."""
        from deformer_qa.cli.prompt import prompt_session

        snapshot = self.pipeline.snapshot
        self._out.print(f"{snapshot.n_documents:,} documents, {snapshot.n_passages:,} passages. :help for help.")
        with prompt_session() as prompt:
            while True:
                try:
                    line = prompt.prompt("? ").strip()
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return exit_codes.OK
                if line in (":quit", ":q", ":exit"):
                    return exit_codes.OK
                if line:
                    self.answer(line)

    def answer(self, line: str) -> None:
        """One line of the session: a command or a question. A user's error is told and the session goes on."""
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
            self._out.print(f"There is no :{printable(name)}; :help lists what there is.", style="red")

    def _where(self, text: str) -> None:
        wanted = parsed(text or None)
        n_documents = len(wanted.documents(self.pipeline.snapshot)) if wanted else self.pipeline.snapshot.n_documents
        self.options.where = wanted
        self._out.print(f"{n_documents:,} documents to be asked.")

    def _sources(self) -> None:
        if self._last is None:
            self._out.print("Nothing was asked yet.")
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
