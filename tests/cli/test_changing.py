"""``qa rm``, ``compact``, ``rollback``, ``export`` and ``import`` as typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts.commands import Ended, Qa

from deformer_qa.cli.options import Pattern
from deformer_qa.store import DocumentRecord, EncoderInfo, PassageDraft, Writer, block_key

ENCODER = EncoderInfo("tiny", 4, 4, {"name": "tiny", "k": 1})
DOCUMENTS: dict[str, dict[str, Any]] = {
    "a.txt": {"year": 1990},
    "b.md": {"year": 2001, "lang": "de"},
    "old/c.txt": {"year": 1980},
    "old/deep/d.txt": {"year": 2010, "when": "2020-01-01T00:00:00Z"},
    "records.jsonl#0": {},
    "records.jsonl#1": {"lang": "de"},
    "odd[1].txt": {},
    "odd1.txt": {},
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two generations, made without a model; its folder of documents is not there."""
    with Writer.open(tmp_path / "store", ENCODER) as writer:
        for path, meta in DOCUMENTS.items():
            put(writer, "/docs/papers", path, meta)
        put(writer, "/docs/notes.txt", "notes.txt", {})
        writer.set_roots(["/docs/papers", "/docs/notes.txt"])
        writer.commit()
        put(writer, "/docs/papers", "late.txt", {})
        writer.commit()
    return tmp_path / "store"


def put(writer: Writer, root: str, path: str, meta: dict[str, Any]) -> None:
    text = f"Text of {path}."
    key = block_key(text)
    writer.add_row(key, np.ones(4, np.float32), np.ones((3, 4), np.float32))
    record = DocumentRecord(writer.new_document_id(), root, path, path, "00", text, (), meta)
    writer.put_document(record, [PassageDraft(0, len(text), "", key)])


def removed(ended: Ended) -> set[str]:
    assert ended.code == 0, ended.err
    return {Path(place).relative_to("/docs").as_posix() for place in json.loads(ended.out)["removed"]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/docs/papers/old"], {"papers/old/c.txt", "papers/old/deep/d.txt"}),
        (["/docs/papers/*.txt"], {f"papers/{name}.txt" for name in ("a", "late", "odd1", "odd[1]")}),
        (["*.md"], {"papers/b.md"}),
        (["**/*.txt"], {f"papers/{name}.txt" for name in ("a", "late", "odd1", "odd[1]", "old/c", "old/deep/d")}
            | {"notes.txt"}),
        (["old/**"], {"papers/old/c.txt", "papers/old/deep/d.txt"}),
        (["old/*", "b.??"], {"papers/old/c.txt", "papers/b.md"}),
        (["/docs/**/[cd].txt"], {"papers/old/c.txt", "papers/old/deep/d.txt"}),
        (["[!ab].txt"], set()),
        (["/docs/papers/odd[1].txt"], {"papers/odd[1].txt"}),  # a document has this very name
        (["odd[1].txt"], {"papers/odd1.txt"}),  # here none has, so it is a pattern
        (["records.jsonl*"], {"papers/records.jsonl#0", "papers/records.jsonl#1"}),
        (["*.jsonl"], {"papers/records.jsonl#0", "papers/records.jsonl#1"}),
        (["--where", "year < 2000"], {"papers/a.txt", "papers/old/c.txt"}),
        (["--where", 'lang == "de"'], {"papers/b.md", "papers/records.jsonl#1"}),
        (["--where", "when > '2019-01-01'"], {"papers/old/deep/d.txt"}),
        (["--where", "path == 'notes.txt'"], {"notes.txt"}),
        (["*.md", "*.jsonl", "--where", 'lang == "de"'], {"papers/b.md", "papers/records.jsonl#1"}),
        (["/docs/papers", "--where", "year > 2005"], {"papers/old/deep/d.txt"}),
    ],
)  # fmt: skip
def test_rm_by_path_pattern_and_filter(qa: Qa, store: Path, arguments: list[str], expected: set[str]) -> None:
    def documents() -> set[str]:
        listed = qa("rm", "**", "--dry-run", "--store", store, "--format", "json")
        return removed(listed)

    everything = documents()
    listed = qa("rm", *arguments, "--dry-run", "--store", store, "--format", "json")
    if not expected:
        assert (listed.code, "nothing was removed" in listed.err) == (2, True)
        return
    assert removed(listed) == expected
    assert documents() == everything, "a dry run changes nothing"
    assert removed(qa("rm", *arguments, "--store", store, "--format", "json")) == expected
    if everything - expected:
        assert documents() == everything - expected
    roots = json.loads(qa("info", "--store", store, "--format", "json").out)["roots"]
    assert roots == ["/docs/papers", "/docs/notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["nowhere.txt"], "nowhere.txt: not in the index; nothing was removed."),
        (["*.md", "*.pdf"], "*.pdf: not in the index; nothing was removed."),
        (["[z-a].txt"], "invalid pattern"),
        ([], "give a PATH, a pattern or --where"),
        (["--where", ""], "filter: found nothing, expected a comparison"),
        (["--where", "lang = 'de'"], "filter, column 6: found =, expected ==, "),
        (["--where", 'lang == "xx"'], "no document matches; nothing was"),
        (["*.txt", "--where", 'lang == "de"'], "no document matches"),
    ],
)
def test_rm_of_nothing_is_wrong_usage_and_removes_nothing(
    qa: Qa, store: Path, arguments: list[str], found: str
) -> None:
    for dry in ([], ["--dry-run"]):
        ended = qa("rm", *arguments, *dry, "--store", store)
        assert ended.code == 2
        assert found in ended.err
        assert len(ended.err.splitlines()) == 1
    about = json.loads(qa("info", "--store", store, "--format", "json").out)
    assert (about["generation"], about["documents"]) == (2, 10)


def test_a_filter_in_a_configuration_file_alone_removes_nothing(
    qa: Qa, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("qa.toml").write_text('where = "year < 2000"\n', encoding="utf-8")
    for _ in range(2):
        ended = qa("rm", "--store", store)
        assert (ended.code, "give a PATH, a pattern or --where" in ended.err) == (2, True)
        Path("qa.toml").unlink(missing_ok=True)
        monkeypatch.setenv("QA_RM_WHERE", "year < 2000")
    assert removed(qa("rm", "*.txt", "--dry-run", "--store", store, "--format", "json")) == {"papers/a.txt"}


def test_a_root_removed_by_its_path_is_forgotten_but_not_in_a_dry_run(qa: Qa, store: Path) -> None:
    assert "10 documents would be removed." in qa("rm", "/docs", "--dry-run", "--store", store).err
    assert json.loads(qa("info", "--store", store, "--format", "json").out)["generation"] == 2
    assert "10 documents removed." in qa("rm", "/docs", "--store", store).err
    about = json.loads(qa("info", "--store", store, "--format", "json").out)
    assert (about["documents"], about["roots"]) == (0, [])


def test_a_pattern_is_taken_from_here_and_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "a[b]"
    here.mkdir()
    monkeypatch.chdir(here)
    assert Pattern("c/*.txt").names(f"{here}/c/d.txt", "x/c/d.txt")
    assert not Pattern("c/*.txt").names("/elsewhere/c/d.txt", "x/c/d.txt")
    assert Pattern("./c/**/d.txt").names("/elsewhere", "c/d.txt")
    assert not Pattern("c/**").names("/elsewhere", "c")
    assert Pattern("[]x].t?t").names("/elsewhere", "].tät")
    assert Pattern("[x").names("/elsewhere", "[x")
    assert not Pattern("a*b").names("/elsewhere", "a/b")
    assert not Pattern("a[!x]b").names("/elsewhere", "a/b")
    assert Pattern("a[+--]b").names("/elsewhere", "a,b")


def test_compact_prints_bytes_and_rollback_then_says_why_it_cannot(qa: Qa, store: Path) -> None:
    assert qa("rm", "*.md", "--store", store).code == 0
    done = json.loads(qa("compact", "--store", store, "--format", "json").out)
    assert (done["schema"], done["generation"]) == (1, 4)
    assert done["bytes_after"] < done["bytes_before"]
    assert done["bytes_after"] == sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    assert not any(b"Text of b.md" in file.read_bytes() for file in store.rglob("*") if file.is_file())
    ended = qa("rollback", "--store", store)
    assert ended.code == 2
    assert ended.err.endswith(
        'cannot go back from generation 4: the generation before it was removed by "qa compact". '
        "The index is as it was.\n"
    )
    human = qa("compact", "--store", store, "--format", "human").out
    assert human == f"Generation 4: {done['bytes_after']:,} bytes before, {done['bytes_after']:,} after.\n"
    assert qa("verify", "--store", store).code == 0


def test_rollback_tells_what_changed_and_a_second_undoes_it(qa: Qa, store: Path) -> None:
    assert qa("rm", "/docs/papers/old", "/docs/notes.txt", "--store", store).code == 0
    assert qa("rollback", "--store", store, "--format", "human").out.splitlines() == [
        "Back from generation 3 to the content of 2, as generation 4.",
        "documents: 7 before, 10 now",
        "passages: 7 before, 10 now",
        "root again recorded: /docs/notes.txt",
    ]
    back = json.loads(qa("rollback", "--store", store, "--format", "json").out)
    assert (back["from"]["documents"], back["to"]["documents"]) == (10, 7)
    assert back["to"] | {"roots": 0} == {
        "generation": 5,
        "documents": 7,
        "passages": 7,
        "roots": 0,
        "content_of": 3,
    }


@pytest.mark.parametrize("command", ["compact", "rollback", "export"])
def test_where_there_is_no_store_it_is_said(qa: Qa, tmp_path: Path, command: str) -> None:
    arguments = ["out"] if command == "export" else []
    ended = qa(command, *arguments, "--store", tmp_path / "nowhere")
    assert (ended.code, "there is no store here" in ended.err) == (4, True)
    assert not (tmp_path / "nowhere").exists()


def test_an_imported_store_gives_the_same_answers(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    shutil.copytree(example_store, tmp_path / "old")
    ended = qa("export", "out", "--store", tmp_path / "old", "--format", "json")
    assert (ended.code, json.loads(ended.out)["documents"]) == (0, 42)
    assert qa("import", "out", "--store", tmp_path / "new").code == 0

    def answers(store: Path, question: str) -> dict[str, Any]:
        found = json.loads(qa("ask", question, "--store", store, "--format", "json").out)
        assert found["answers"]
        return {key: value for key, value in found.items() if key not in ("timings_ms", "generation")}

    questions = ("On what date was Magellan killed?", "Is neon a noble gas?")
    for question in questions:
        assert answers(tmp_path / "new", question) == answers(tmp_path / "old", question)
    assert qa("verify", "--store", tmp_path / "new").code == 0
    assert qa("compact", "--store", tmp_path / "old").code == 0
    assert answers(tmp_path / "old", questions[0]) == answers(tmp_path / "new", questions[0])


def test_export_and_import_want_new_folders_and_whole_exports(qa: Qa, store: Path, tmp_path: Path) -> None:
    assert qa("export", "out", "--store", store).code == 0
    for arguments, found in (
        (["export", "out", "--store", store], "out: expected no folder or an empty one for an export"),
        (["export", "no/where", "--store", store], "no such folder"),
        (["import", "out", "--store", store], "expected no folder or an empty one for a new store"),
        (["import", "nowhere", "--store", tmp_path / "new"], "nowhere: no such folder"),
        (["import", ".", "--store", tmp_path / "new"], "export.json: cannot be read"),
    ):
        ended = qa(*arguments)
        assert (ended.code, found in ended.err) == (2, True), ended.err
    lines = Path("out/documents.jsonl").read_text().splitlines(keepends=True)
    Path("out/documents.jsonl").write_text("".join(lines[:-1]))
    ended = qa("import", "out", "--store", tmp_path / "new")
    assert ended.code == 2
    assert "out/documents.jsonl: its size or checksum is not the one in export.json" in ended.err
    assert not (tmp_path / "new").exists()
