"""What documents, names, arguments and errors hold never drives a terminal, and JSON still says exactly what it is."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from parts.command_children import Call, Ended, caller, ended, in_a_child, on_a_terminal
from parts.terminal_attacks import PAYLOADS, found_in, longest_run_of_marks, marked
from rich.style import Style
from rich.text import Text

from deformer_qa.cli.ask import AskOptions, Session, print_answers
from deformer_qa.cli.main import root
from deformer_qa.cli.output import safe_console
from deformer_qa.cli.terminal.progress import counting, training_progress
from deformer_qa.cli.terminal.streams import MOST_MARKS, harmless, printable
from deformer_qa.indexer.formats.text_encoding import storable
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.reader.reading import SplitReader

GROUPS = [" ".join(PAYLOADS[start : start + 24]) for start in range(0, len(PAYLOADS), 24)]
_MARK = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class World:
    """A folder whose every name and text is an attack, its store, and the reader that made it."""

    corpus: Path
    store: Path
    reader: Path
    home: Path


def _names() -> Iterator[str]:
    """The payloads that a file can be called."""
    for payload in PAYLOADS:
        name = payload if len(payload) < 60 else payload[:60] + payload[-6:]
        try:
            os.fsencode(name)
        except UnicodeEncodeError:
            continue
        if not {"/", "\0"} & set(name):
            yield name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_reader: Path) -> World:
    home = tmp_path_factory.mktemp("home")
    corpus = home / marked(1, "\x1b[2J\u202e")
    for folder in ("texts", "records", "pages", "odd"):
        (corpus / folder).mkdir(parents=True)
    for name in _names():
        (corpus / "texts" / f"{name}.txt").write_bytes(f"The river of {name} was long.".encode("utf-8", "replace"))
        (corpus / "odd" / f"x.{name}").write_bytes(b"?")
    records = [
        json.dumps({"title": payload, "text": f"The city of {payload} was old.", "meta": payload, payload: 1})
        for payload in PAYLOADS
    ]
    (corpus / "records" / "all.jsonl").write_text("\n".join([*records, "{" + PAYLOADS[1]]), encoding="utf-8")
    headings = [f"# {payload}\n\nThe house of {payload} was small.\n\n" for payload in PAYLOADS if "\0" not in payload]
    (corpus / "pages" / "headings.md").write_bytes("".join(headings).encode("utf-8", "replace"))
    for number, payload in enumerate(PAYLOADS[::8]):
        page = f"<title>{payload}</title><h1>{payload}</h1><p>The bridge of {payload}.</p>"
        (corpus / "pages" / f"{number}.html").write_bytes(page.replace("\0", "").encode("utf-8", "replace"))
        front = f'---\ntitle: "{payload}"\n---\n\nThe tower of {payload}.\n'
        (corpus / "pages" / f"{number}.md").write_bytes(front.replace("\0", "").encode("utf-8", "replace"))
    made = World(corpus, home / marked(2, "\x1b]0;t\a\u2066\udc9b1m"), tiny_reader, home)
    shown = on_a_terminal(lambda: ended("index", corpus, "--reader", tiny_reader, "--store", made.store))
    assert found_in(shown, terminal=True) == []
    assert b"\x1b[?25l" in shown  # there was a bar
    return made


def every_command(world: World, form: str, call: Call) -> list[Any]:
    """All that shows what is in the store."""
    common = ("--store", world.store, "--format", form)
    found = [call("index", world.corpus, "--reader", world.reader, *common)]
    found += [call(command, *common) for command in ("info", "verify", "compact")]
    found.append(call("rm", "--dry-run", world.corpus, *common))
    found += [
        call("search", f"Who was the {word}?", "-n", "900", "--method", method, "--reader", world.reader, *common)
        for word, method in (("river", "bm25"), ("city or house", "bm25"), ("tower", "dense"))
    ]
    found.append(call("ask", "Where was the river?", "-n", "100", "-k", "40", "--reader", world.reader, *common))
    found += [call("show", str(passage), "--around", "100", *common) for passage in range(0, 1600, 100)]
    documents = range(0, 900, 20)
    found += [call("show", "--document", str(document), *common) for document in documents]
    found += [call("show", "--document", str(document), "--text", *common) for document in documents]
    return found


def every_error(world: World, call: Call) -> list[Any]:
    """All that quotes what was typed, configured or named."""
    small = world.home / "small"
    at = ("--store", small, "--reader", world.reader)
    found = [call("index", world.corpus / "pages" / "0.md", *at)]
    for group in GROUPS:
        typed = re.sub("[\0\ud800-\udc7f\udd00-\udfff]", "", group)  # what an argument can hold
        path = "/".join(name[:60] + name[-6:] for name in typed.split(" ") if name)[:3500]
        as_json = json.dumps({"field": f"meta.{group}", "operator": group, "value": group})
        for arguments in (
            ("ask", "Who?", "--answers", typed, *at),
            ("ask", typed, *at),
            (typed.replace(" ", "_") + "x",),
            ("ask", f"--{typed}"),
            ("show", typed),
            ("rm", typed, *at[:2]),
            ("rm", "[" + typed, *at[:2]),
            ("rm", "--filter", typed, *at[:2]),
            ("rm", "--filter", as_json, *at[:2]),
            ("index", path, *at),
            ("index", world.corpus, "--vector-index", typed, *at),
            ("index", world.corpus, "--store", small, "--reader", path),
            ("info", "--store", path),
            ("info", "--format", typed),
            ("export", path, *at[:2]),
            ("import", path, "--store", world.home / "new"),
            ("eval", "squad", path),
            ("train", "reader", path, "--data", "x", "--out", "y"),
        ):
            found.append(call(*arguments))
        os.environ["QA_ASK_ANSWERS"] = typed
        found.append(call("ask", "Who?", *at))
        del os.environ["QA_ASK_ANSWERS"]
        quoted = json.dumps(group.encode("utf-8", "replace").decode())
        for line in (f"{quoted} = 1", f"[{quoted}]", f"[ask]\n{quoted} = 2", f"[ask]\nanswers = {quoted}", typed):
            (world.home / "qa.toml").write_bytes(line.encode("utf-8", "replace"))
            found.append(call("info"))
        (world.home / "qa.toml").unlink()
    return found


def every_answer(world: World, forms: tuple[str, ...]) -> None:
    """Answers from every document, and what a session says to all that is no command of it."""
    with Pipeline.open(world.store, SplitReader.load(world.reader)) as pipeline:
        options = AskOptions(40, 30, 30, None)
        session = Session(pipeline, options)
        for start in range(0, len(PAYLOADS), 10):
            some = PAYLOADS[start : start + 10]
            answers = options.ask(pipeline, f"Where was {' '.join(payload[:7] for payload in some)}?")
            for form in forms:
                print_answers(answers, form)
            for payload in some:
                session.answer(f":{payload}")
        session.answer(PAYLOADS[0])
        session.answer(PAYLOADS[-1] * 99)
        session.answer(":sources")


def trouble(call: Call) -> list[Any]:
    """What no command means to print: warnings, logs, tracebacks, errors of other threads, while bars are drawn."""

    def everything() -> None:
        logging.basicConfig(force=True)  # with a stream of now, as a library does it
        with counting(len(PAYLOADS)) as advance, training_progress() as on_log:
            for step, payload in enumerate(PAYLOADS):
                advance(payload)
                on_log({"loss": 1.0, "step": step, "of": len(PAYLOADS), payload: payload})
                logging.getLogger(payload).warning("%s", payload)
                sys.stderr.write(warnings.formatwarning(payload, UserWarning, payload, 1))
                print(payload)
                print(payload, file=sys.stderr)
        thread = threading.Thread(target=int, args=(PAYLOADS[1],))
        thread.start()
        thread.join()
        raise RuntimeError("\n".join(PAYLOADS))

    return [call(hidden("trouble", everything)), call("--help"), call("ask", "--help")]


@pytest.fixture
def quiet_home(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.home)
    for name in ("QA_STORE", "QA_FORMAT", "QA_READER", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world.home / "config"))
    monkeypatch.setenv("TERM", "xterm-256color")


def test_there_are_attacks_enough() -> None:
    assert len(set(PAYLOADS)) >= 240


def hidden(name: str, work: Callable[[], None]) -> str:
    """A command of the test's own: it runs as all others do."""
    root.add_command(click.Command(name, callback=work))
    return name


def test_no_file_or_pipe_gets_a_forbidden_byte_and_json_is_exact(
    world: World, quiet_home: None, tmp_path: Path
) -> None:
    forms = ("human", "plain", "ndjson")

    def work() -> tuple[dict[str, list[Ended]], Ended, list[Ended]]:
        call = caller(tmp_path)
        asked = call(hidden("asked", lambda: every_answer(world, forms)))
        shown = {form: every_command(world, form, call) for form in forms}
        return shown, asked, every_error(world, call) + trouble(call)

    shown, asked, told = in_a_child(work)
    for code, out, err in (*(one for some in shown.values() for one in some), asked, *told):
        assert found_in(out) + found_in(err) == [], (code, out[:300], err[:300])
    assert all(err.count(b"\n") == 1 for code, _, err in told[:-3] if code != 0)
    for some in (shown["human"], shown["plain"], [asked], told):
        seen = b"".join(out + err for _, out, err in some)
        assert [number for number in range(len(PAYLOADS)) if f"Mark{number:03d}".encode() not in seen] == []
    assert longest_run_of_marks(asked[1]) == MOST_MARKS
    assert_exact(shown["ndjson"])


def assert_exact(shown: list[Ended]) -> None:
    """Every text, title, name and value of metadata is in the JSON as it is in the store."""
    strings: set[str] = set()
    values = [json.loads(line) for _, out, _ in shown for line in out.splitlines()]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str):
            strings.add(value)
    for payload in PAYLOADS:
        kept = storable(payload)
        assert {kept, f"The city of {kept} was old."} <= strings, ascii(payload)
    for name in _names():
        try:
            name.encode()
        except UnicodeEncodeError:
            continue  # skipped, with a reason
        assert f"texts/{name}.txt" in strings, ascii(name)


def test_no_terminal_gets_one(world: World, quiet_home: None) -> None:
    def work() -> None:
        ended(hidden("asked", lambda: every_answer(world, ("human",))))
        every_command(world, "auto", ended)
        every_error(world, ended)
        trouble(ended)

    shown = on_a_terminal(work)
    assert found_in(shown, terminal=True) == []
    assert b"\x1b[36m" in shown  # it was a terminal: there is colour
    assert b"Mark007" in shown


def test_an_error_of_ours_is_a_traceback_and_no_answer(world: World, quiet_home: None, tmp_path: Path) -> None:
    def work() -> Ended:
        def fail() -> None:
            raise RuntimeError("\x1b[31mred")

        return caller(tmp_path)(hidden("fail", fail))

    code, out, err = in_a_child(work)
    assert (code, out) == (3, b"")
    assert "RuntimeError: \N{REPLACEMENT CHARACTER}[31mred" in err.decode()


def test_what_is_pasted_into_a_session_is_shown_harmless(
    world: World, quiet_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    pasted = "Who \u202ewas \x9b31m in \U000e0041 the \u2066 city \x1b[5m of\x07 \x1b]0;t\x07?"
    session = ("ask", "--store", world.store, "--reader", world.reader)
    for term in ("xterm", "dumb"):
        monkeypatch.setenv("TERM", term)
        typed = f"\x1b[200~{pasted}\x1b[201~\r:quit\r" if term == "xterm" else "Who \u202e\u2066\x9b was?\r:quit\r"
        shown = on_a_terminal(lambda: ended(*session), typed.encode()).decode()
        assert "passage" in shown  # it was asked, and answered
        assert _MARK in shown
        assert not set("\u202e\u2066\x9b\U000e0041\x07") & set(shown)
        assert "\x1b[5m" not in shown
        assert "\x1b]" not in shown


def test_a_bar_on_the_terminal_leaves_a_file_its_output(world: World, quiet_home: None, tmp_path: Path) -> None:
    def work() -> None:
        file = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        new = ("--store", tmp_path / "store", "--reader", world.reader, "--format", "json")
        ended("index", world.corpus / "pages" / "0.md", *new)

    shown = on_a_terminal(work)
    events = [json.loads(line)["event"] for line in (tmp_path / "out").read_text().splitlines()]
    assert events == ["commit", "done"]
    assert b"commit" not in shown


def test_a_reader_that_leaves_is_no_error_of_a_console(world: World, quiet_home: None, tmp_path: Path) -> None:
    def work() -> Ended:
        reading, writing = os.pipe()
        os.close(reading)
        file = tempfile.TemporaryFile(dir=tmp_path, buffering=0)  # noqa: SIM115
        os.dup2(writing, 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = (open(fd, "w", encoding="utf-8", closefd=False) for fd in (1, 2))  # noqa: SIM115
        code = ended("info", "--store", world.store, "--format", "human")
        sys.stderr.flush()
        return code, b"", os.pread(file.fileno(), 1 << 16, 0)

    assert in_a_child(work) == (0, b"", b"")


def test_a_console_lets_through_its_own_styles_only(capsys: pytest.CaptureFixture[str]) -> None:
    made = safe_console(force_terminal=True, color_system="standard", width=80)
    made.print(Text("\x1b[5mblink\u202e", style=Style(color="red", link="http://evil/")), Text("\x9b5m"))
    assert capsys.readouterr().out == f"\x1b[31m{_MARK}[5mblink{_MARK}\x1b[0m {_MARK}5m\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\td\u2028e\x0cf", "a\r\nb\nc\td\ne\nf"),
        ("a\x1b[1m\u202e\U000e0041\ud800\x9b", "a" + _MARK + "[1m" + _MARK * 4),
        ("so\u00adft \ufeff\u200b\u2060", "so\u00adft \ufeff\u200b\u2060"),
        ("e" + "\u0301" * 99, "e" + "\u0301" * 99),
        ("می\u200cخواهم 👩\u200d🚀", "می\u200cخواهم 👩\u200d🚀"),
    ],
)
def test_harmless_text_has_a_character_for_each(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert len(harmless(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so\u00adft\u200b line\ufeff \u200eא", "soft line א"),
        ("e" + "\u0301" * 99 + "x", "e" + "\u0301" * MOST_MARKS + _MARK + "x"),
        ("می\u200cخواهم 👩\u200d🚀 ﷽", "می\u200cخواهم 👩\u200d🚀 ﷽"),
        ("\u0600١٢ \u06dd", "\u0600١٢ \u06dd"),
    ],
)
def test_printable_text_has_no_marks_for_what_nobody_sees(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
