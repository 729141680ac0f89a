"""What ``qa ask`` says and how it ends: an answer, a best guess, nothing found; long answers and sentences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from parts.commands import Ended, Qa

from deformer_qa.reader.description import set_fitted
from deformer_qa.reader.shipped import SHIPPED

QUESTION = "On what date was Magellan killed?"
ANSWER = "27 April 1521"
RULES: dict[str, dict[str, Any]] = {
    "answer": {"sure": 0, "nothing": {"confidence": 0, "dense": 0}},
    "guess": {"sure": 1.1, "nothing": {"confidence": 0, "dense": 0}},
    "nothing": {"sure": 0, "nothing": {"confidence": 1.1, "dense": 2}},
}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reader that ships with rules under which every question ends in one way."""
    folder = tmp_path_factory.mktemp("readers")
    for name, rule in RULES.items():
        shutil.copytree(SHIPPED, folder / name)
        threshold = {"delta": 0.05, "questions": 1, "thresholds": {"0.2": 0.999 if name == "guess" else 0.001}}
        set_fitted(folder / name, outcomes=rule, risk=threshold)
    return {name: folder / name for name in RULES}


def _asked(qa: Qa, store: Path, reader: Path, form: str, *more: str) -> Ended:
    return qa("ask", QUESTION, "--store", store, "--reader", reader, "--format", form, *more)


def test_an_answer_is_said_without_a_word_of_caution(qa: Qa, example_store: Path, readers: dict[str, Path]) -> None:
    for more in ((), ("--strict-answers",), ("--max-risk", "0.2")):
        ended = _asked(qa, example_store, readers["answer"], "human", *more)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"1  {ANSWER}   ")
        ended = _asked(qa, example_store, readers["answer"], "plain", *more)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"{ANSWER}\t")


def test_a_guess_is_marked_and_has_the_same_rows(qa: Qa, example_store: Path, readers: dict[str, Path]) -> None:
    sure, guess = (_asked(qa, example_store, readers[name], "human") for name in ("answer", "guess"))
    assert guess.code == 0
    assert guess.out.splitlines()[0] == "Best guess, not sure:"
    assert guess.out.splitlines()[1:-1] == sure.out.splitlines()[:-1]
    plain = _asked(qa, example_store, readers["guess"], "plain")
    assert (plain.code, plain.err) == (0, "qa: Best guess, not sure:\n")
    assert plain.out == _asked(qa, example_store, readers["answer"], "plain").out
    made = json.loads(_asked(qa, example_store, readers["guess"], "json").out)
    assert (made["sure"], made["no_answer"]["is_best"]) == (False, False)
    assert made["answers"][0]["text"] == ANSWER


@pytest.mark.parametrize("form", ["human", "plain", "json"])
def test_a_guess_is_no_answer_where_more_is_asked_for(
    qa: Qa, example_store: Path, readers: dict[str, Path], form: str
) -> None:
    confidence = json.loads(_asked(qa, example_store, readers["guess"], "json").out)["answers"][0]["confidence"]
    strict = "No sure answer (--strict-answers); the best guess has a confidence of"
    for option, said in (
        (("--strict-answers",), f"{strict} {confidence:.0%}:"),
        (
            ("--max-risk", "0.2"),
            "No answer given: --max-risk 0.2 needs a confidence of at least 100%, the best guess has "
            f"{confidence:.0%}:",
        ),
    ):
        ended = _asked(qa, example_store, readers["guess"], form, *option)
        assert ended.code == 1
        if form == "json":
            assert json.loads(ended.out)["sure"] is False
        else:
            told = ended.out if form == "human" else ended.err.removeprefix("qa: ")
            assert " ".join(told.split()).startswith(said)
            assert ANSWER in ended.out


def test_nothing_found_names_the_nearest_passages_and_shows_no_answer(
    qa: Qa, example_store: Path, readers: dict[str, Path]
) -> None:
    for more in ((), ("--strict-answers",), ("--max-risk", "0.2")):
        ended = _asked(qa, example_store, readers["nothing"], "human", *more)
        assert ended.code == 1
        lines = ended.out.splitlines()
        assert lines[0] == "Nothing found about this. Nearest:"
        assert "history/first-circumnavigation.md" in lines[1]
        assert ANSWER not in ended.out
        ended = _asked(qa, example_store, readers["nothing"], "plain", *more)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("qa: Nothing found about this. Nearest: ")
        ended = _asked(qa, example_store, readers["nothing"], "json", *more)
        assert ended.code == 1
        assert json.loads(ended.out)["no_answer"]["is_best"] is True


def test_no_form_says_that_documents_do_not_say(qa: Qa, example_store: Path, readers: dict[str, Path]) -> None:
    for reader in readers.values():
        for form in ("human", "plain"):
            for more in ((), ("--strict-answers",), ("--max-risk", "0.2")):
                ended = _asked(qa, example_store, reader, form, *more)
                assert "do not say" not in ended.out + ended.err


def test_a_long_answer_is_shown_whole(qa: Qa, readers: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "sluice.md"
    page.write_text("# Sluice\n\nIt has one gate. To open the sluice, run this command:\n\n    sluice --open north\n")
    store = tmp_path / "store"
    assert qa("index", page, "--store", store).code == 0
    asked = ("ask", "How do I open the sluice?", "--store", store, "--reader", readers["answer"])
    lines = qa(*asked, "--format", "human").out.splitlines()
    assert lines[0].startswith("1  ")
    assert lines[0].endswith("%")
    shown = [line.strip() for line in lines[1:4]]
    assert shown == ["To open the sluice, run this command:", "", "sluice --open north"]
    (first,) = qa(*asked, "--format", "plain", "-n", "1").out.splitlines()
    assert first.split("\t")[4].split() == " ".join(shown).split()
    assert len(first.split("\t")) == 5
