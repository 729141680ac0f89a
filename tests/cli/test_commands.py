"""What the commands print, in each form, on the sample corpus."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from parts.commands import Qa

from deformer_qa.cli.terminal.streams import printable

QUESTION = "On what date was Magellan killed?"
ANSWER = "27 April 1521"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_ask_prints_json_of_schema_1(qa: Qa, example_store: Path) -> None:
    ended = qa("ask", QUESTION, "--store", example_store, "--format", "json")
    answers = json.loads(ended.out)
    assert ended.code == 0
    assert list(answers) == [
        "schema",
        "question",
        "sure",
        "answers",
        "no_answer",
        "risk",
        "where",
        "generation",
        "encoder",
        "timings_ms",
    ]
    first = answers["answers"][0]
    assert {"kind", "label", "text", "score", "confidence", "passage", "document", "start", "end"} <= first.keys()
    assert {"context", "context_start", "long"} <= first.keys()
    assert (answers["sure"], first["kind"], first["long"]) == (True, "span", None)
    assert {"id", "path", "title", "heading", "page", "meta"} <= first["document"].keys()
    shown = qa("show", "--document", str(first["document"]["id"]), "--text", "--store", example_store)
    assert shown.out[first["start"] : first["end"]] == first["text"] == ANSWER
    assert shown.out == (EXAMPLES / "corpus" / first["document"]["path"]).read_text(encoding="utf-8")


def test_a_bare_question_is_asked(qa: Qa, example_store: Path) -> None:
    ended = qa(QUESTION, "--store", example_store, "--format", "ndjson")
    assert ended.code == 0
    assert json.loads(ended.out)["question"] == QUESTION
    assert ended.out.count("\n") == 1


def test_plain_output_is_one_line_an_answer(qa: Qa, example_store: Path) -> None:
    ended = qa("ask", QUESTION, "--store", example_store, "-n", "2")
    assert {len(line.split("\t")) for line in ended.out.splitlines()} == {4}
    assert ended.out.startswith(f"{ANSWER}\t")


def test_human_output_names_file_heading_confidence_and_time(qa: Qa, example_store: Path) -> None:
    out = qa("ask", QUESTION, "--store", example_store, "--format", "human").out
    assert ANSWER in out
    assert "history/first-circumnavigation.md ›" in out
    assert re.search(r"\d+%", out)
    assert re.search(r"\d+ ms", out)


def test_with_a_filter_only_matching_documents_are_asked_in_every_ranking(qa: Qa, example_store: Path) -> None:
    free, among = ("--store", example_store, "--format", "json"), ("--where", 'path contains "science/"')
    everything = json.loads(qa("ask", QUESTION, *free).out)
    assert everything["where"] is None
    found = json.loads(qa("ask", QUESTION, *free, *among).out)
    assert found["where"] == {"filter": 'path contains "science/"', "documents": 14}
    assert ANSWER not in [one["text"] for one in found["answers"]]
    assert {one["document"]["path"].split("/")[0] for one in found["answers"]} == {"science"}
    for method in ("fused", "dense", "bm25"):
        ended = qa("search", QUESTION, *free, *among, "-n", "20", "--method", method)
        places = [one["document"]["path"] for one in json.loads(ended.out)["passages"]]
        assert len(places) == 20 or method == "bm25", "the filter is not laid over the first 20 of all"
        assert {place.split("/")[0] for place in places} == {"science"}
    more = json.loads(qa("ask", QUESTION, *free, "--where", 'title == "x" or path contains "first-circum"').out)
    assert more["answers"][0]["text"] == ANSWER


@pytest.mark.parametrize("form", ["plain", "json", "human"])
def test_a_filter_that_no_document_matches_is_told(qa: Qa, example_store: Path, form: str) -> None:
    arguments = (QUESTION, "--store", example_store, "--format", form, "--where", "year > 3000")
    ended = qa("ask", *arguments)
    assert ended.code == 1
    told = ended.out if form == "human" else ended.err
    assert told.splitlines()[0].removeprefix("qa: ").lower() == "no document matches the filter."
    if form == "json":
        empty = json.loads(ended.out)
        assert (empty["answers"], empty["no_answer"]["is_best"], empty["where"]["documents"]) == ([], True, 0)
    ended = qa("search", *arguments)
    assert (ended.code, ended.err) == (1, "qa: no document matches the filter.\n")
    ended = qa("ask", *arguments, "--max-risk", "0.3")
    assert (ended.code, "no document matches" in (ended.out + ended.err).lower()) == (1, True)


def test_search_prints_passages_with_their_scores(qa: Qa, example_store: Path) -> None:
    ended = qa("search", QUESTION, "--store", example_store, "--format", "json", "-n", "5")
    found = json.loads(ended.out)
    assert (found["schema"], found["query"], len(found["passages"])) == (1, QUESTION, 5)
    assert [one["rank"] for one in found["passages"]] == [1, 2, 3, 4, 5]
    fused = [one["scores"]["fused"] for one in found["passages"]]
    assert fused == sorted(fused, reverse=True)
    for one in found["passages"]:
        text = qa("show", "--document", str(one["document"]["id"]), "--text", "--store", example_store).out
        assert text[one["start"] : one["end"]] == one["text"]


def test_search_by_words_has_no_scores_of_a_vector(qa: Qa, example_store: Path) -> None:
    arguments = ("search", "Magellan's death", "--store", example_store, "--method", "bm25", "-n", "3")
    found = json.loads(qa(*arguments, "--format", "json").out)["passages"]
    assert [(one["scores"]["dense"], one["scores"]["fused"]) for one in found] == [(None, None)] * 3
    scores = [one["scores"]["bm25"] for one in found]
    assert scores == sorted(scores, reverse=True)
    plain = qa(*arguments, "--format", "plain").out.splitlines()
    assert [line.split("\t")[1] for line in plain] == [f"{score:.5f}" for score in scores]
    assert "dense -" in qa(*arguments, "--format", "human").out


def test_show_prints_a_passage_and_its_neighbours(qa: Qa, example_store: Path) -> None:
    shown = json.loads(qa("show", "5", "--store", example_store, "--format", "json").out)
    ids = [one["passage"] for side in ("before", "after") for one in shown["neighbours"][side]]
    assert shown["passage"] == 5
    assert 1 <= len(ids) <= 2
    assert all(abs(other - 5) == 1 for other in ids)
    ended = qa("show", "100000", "--store", example_store)
    assert ended.code == 2


def test_info_tells_what_is_there(qa: Qa, example_store: Path) -> None:
    about = json.loads(qa("info", "--store", example_store, "--format", "json").out)
    assert about["documents"] == 21 + 8 + 7 + 6
    assert about["roots"] == [str(EXAMPLES / "corpus")]
    assert about["encoder"]["name"] == "all-MiniLM-L6-v2"
    assert "documents" in qa("info", "--store", example_store).out


def test_index_events_are_ndjson_and_the_last_line_sums_up(qa: Qa, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(EXAMPLES / "corpus" / "music", corpus)
    lines = [json.loads(line) for line in qa("index", corpus, "--format", "json").out.splitlines()]
    assert [line["event"] for line in lines] == ["commit", "done"]
    others = ("updated", "moved", "removed", "unchanged", "skipped", "ignored")
    assert lines[-1]["files"] == {"added": 2, **dict.fromkeys(others, 0)}
    assert lines[-1]["passages"] == lines[-1]["passages_encoded"] > 2
    (again,) = [json.loads(line) for line in qa("index", "--format", "json").out.splitlines()]
    assert (again["files"]["unchanged"], again["passages_encoded"]) == (2, 0)
    corpus.rename(tmp_path / "elsewhere")
    moved = json.loads(qa("index", tmp_path / "elsewhere", "--format", "json").out.splitlines()[-1])
    assert (moved["files"]["moved"], moved["passages_encoded"]) == (2, 0)


def test_rm_takes_documents_out(qa: Qa, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(EXAMPLES / "corpus" / "science", corpus)
    assert qa("index", corpus).code == 0
    assert "Raymond Gosling" in qa("ask", "Who took the X-ray picture known as Photograph 51?").out
    removed = json.loads(qa("rm", corpus / "dna.md", "--format", "json").out)["removed"]
    assert removed == [str(corpus / "dna.md")]
    assert "Raymond Gosling" not in qa("ask", "Who took the X-ray picture known as Photograph 51?").out
    assert qa("rm", corpus / "dna.md").code == 2
    assert qa("rm", corpus, corpus / "noble-gases.txt").code == 0
    assert json.loads(qa("info", "--format", "json").out)["documents"] == 0
    assert json.loads(qa("info", "--format", "json").out)["roots"] == []
    assert qa("ask", "Who?").code == 1


def test_a_store_is_found_upward_and_options_come_from_files(
    qa: Qa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "here" / "corpus"
    shutil.copytree(EXAMPLES / "corpus" / "music", corpus)
    assert qa("index", "corpus").code == 0
    assert (tmp_path / "here" / ".qa").is_dir()
    monkeypatch.chdir(corpus)
    question = "Who invented the piano?"
    assert len(json.loads(qa("ask", question, "--format", "json").out)["answers"]) == 3
    (tmp_path / "here" / "qa.toml").write_text('format = "json"\n[ask]\nanswers = 2\n', encoding="utf-8")
    assert len(json.loads(qa("ask", question).out)["answers"]) == 2
    monkeypatch.setenv("QA_ASK_ANSWERS", "1")
    assert len(json.loads(qa("ask", question).out)["answers"]) == 1
    assert len(json.loads(qa("ask", question, "-n", "4").out)["answers"]) == 4
    (tmp_path / "here" / "qa.toml").write_text('store = "nowhere"\n', encoding="utf-8")
    ended = qa("ask", question)
    assert (ended.code, str(tmp_path / "here" / "nowhere") in ended.err) == (4, True)
    (tmp_path / "here" / "qa.toml").write_text("answers = [1]\n", encoding="utf-8")
    assert "expected a text or a number" in qa("ask", question).err
    (tmp_path / "here" / "qa.toml").write_text("[ask]\nanswer = 2\n", encoding="utf-8")
    ended = qa("ask", question)
    assert ended.code == 2
    assert 'unknown option "answer"' in ended.err


def test_eval_squad_and_eval_open_print_their_figures(qa: Qa, tmp_path: Path) -> None:
    context = "Johann Bode proposed the name Uranus. Herschel had found the planet in 1781 with his telescope in Bath."
    rows = [("Who proposed the name Uranus?", "Johann Bode"), ("Where was the telescope?", "Bath")]
    entries: list[dict[str, Any]] = [
        {"id": str(i), "question": q, "answers": [{"text": a, "answer_start": context.index(a)}]}
        for i, (q, a) in enumerate(rows)
    ]
    file = tmp_path / "dev.json"
    paragraphs = [{"context": context, "qas": entries}, {"context": "The mill stands by the river.", "qas": []}]
    file.write_text(json.dumps({"data": [{"title": "T", "paragraphs": paragraphs}]}), encoding="utf-8")
    result = json.loads(qa("eval", "squad", file, "--format", "json").out)
    assert (result["schema"], result["n"], result["k"], result["states"]) == (1, 2, 2, "pq4")
    assert 0 <= result["exact_match"] <= result["f1"] <= 100
    assert qa("eval", "squad", file, "--fail-under", "101").code == 1
    assert qa("eval", "squad", file, "--k", "3").code == 2
    ended = qa("eval", "open", file, "--store", tmp_path / "s", "--build", "--format", "json")
    result = json.loads(ended.out)
    assert (result["n_documents"], result["retrieval"]["n"], result["answers"]["n"]) == (2, 2, 2)
    assert result["retrieval"]["fused"]["recall@20"] == 100
    assert set(result["answers"]["fused"]) == {"exact_match", "f1"}
    other = tmp_path / "other.json"
    other.write_text(file.read_text().replace("Herschel had", "Herschel has"), encoding="utf-8")
    ended = qa("eval", "open", other, "--store", tmp_path / "s")
    assert ended.code == 2
    assert "1 of 2 paragraphs" in ended.err


def test_a_session_answers_and_takes_commands(example_store: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "100"}
    command = [
        sys.executable,
        "-c",
        "from deformer_qa.cli.main import main; main()",
        "ask",
        "--store",
        str(example_store),
    ]
    child = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment, close_fds=True)
    os.close(follower)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        deadline = time.monotonic() + 120
        while text not in seen and time.monotonic() < deadline:
            if select.select([leader], [], [], 0.2)[0]:
                seen += os.read(leader, 65536).decode("utf-8", "replace")
        assert text in seen, seen[-2000:]
        seen = ""

    until("? ")
    for line, expected in (
        (":help", ":sources"),
        (QUESTION, ANSWER),
        (":sources", "Mactan"),
        (":k 5", "k = 5"),
        (":k 0", "takes a number"),
        (":strict", "strict = on"),
        (":strict", "strict = off"),
        (":where path contains 'music/'", "2 documents will be asked"),
        (QUESTION, "music/"),
        (":where year = 3", "filter, column 6: found ="),
        (":where", "42 documents will be asked"),
        (":nonsense", "Unknown command :nonsense"),
    ):
        os.write(leader, line.encode() + b"\r")
        until(expected)
    os.write(leader, b":quit\r")
    assert child.wait(30) == 0
    assert QUESTION in (tmp_path / "qa" / "history").read_text(encoding="utf-8")
    os.close(leader)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 text", "plain é 漢 text"),
        ("a\tb\nc\r\n", "a b c  "),
        ("\x1b[31mred\x07", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"),
        ("\u202eevil\u2066", "\N{REPLACEMENT CHARACTER}evil\N{REPLACEMENT CHARACTER}"),
        ("\x9b31m\U000e0041\ud800", "\N{REPLACEMENT CHARACTER}31m" + "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
def test_what_could_drive_a_terminal_never_reaches_it(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_bench_recall_of_a_small_store_is_exact(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    ended = qa("bench", "recall", "--store", example_store, "--at", "5", "--questions", "20", "--format", "json")
    found = json.loads(ended.out)
    assert (ended.code, found["schema"], found["indexes"]) == (0, 1, [])
    assert [(one["method"], one["recall"], one["same_scores"]) for one in found["recall"]] == [
        ("dense", 1.0, 1.0),
        ("bm25", 1.0, 1.0),
    ]
    questions = tmp_path / "questions.txt"
    questions.write_text(f"{QUESTION}\n\nWho sailed?\n")
    ended = qa("bench", "recall", "--store", example_store, "--queries", questions, "--format", "plain")
    assert [line.split("\t")[:4] for line in ended.out.splitlines()] == [
        ["dense", "20", "2", "1.0"],
        ["bm25", "20", "2", "1.0"],
    ]


def test_a_vector_index_can_be_chosen_and_is_shown(qa: Qa, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A fox. It sleeps.")
    store = tmp_path / ".qa"
    wrong = qa("index", tmp_path / "a.txt", "--store", store, "--vector-index", "fast")
    assert (wrong.code, store.exists()) == (2, False)
    assert "expected auto, flat, or a factory string" in wrong.err
    assert qa("index", tmp_path / "a.txt", "--store", store, "--vector-index", "IVF2,SQ8").code == 0
    shown = json.loads(qa("info", "--store", store, "--format", "json").out)["vector_index"]
    (one,) = shown["indexes"]
    assert (shown["choice"], one["factory"], one["rows"]) == ("IVF2,SQ8", "IVF2,SQ8", 1)
    assert qa("index", tmp_path / "a.txt", "--store", store, "--vector-index", "flat").code == 0
    plain = qa("info", "--store", store, "--format", "plain").out
    assert "vector index\tflat\n" in plain
