"""Files of many records: each is a document, and one bad line spoils no other."""

from __future__ import annotations

import json

import pytest
from parts.tiny_world import World

from deformer_qa.indexer import FileCounts, RecordSkipped, Skipped


def test_inserting_a_record_encodes_only_that_and_keeps_the_ids_of_the_others(world: World) -> None:
    lines = [json.dumps({"text": f"Record {number}."}) for number in range(5)]
    world.write("a.jsonl", "\n".join(lines))
    world.sync(world.folder)
    ids = world.ids()
    world.write("a.jsonl", "\n".join([json.dumps({"text": "Inserted."}), *lines[:2], *lines[3:]]))
    report = world.sync()
    assert (report.files, world.encoder.encoded) == (FileCounts(updated=1), ["Inserted."])
    old = {1: 0, 2: 1, 3: 3, 4: 4}
    assert {path: id_ for path, id_ in world.ids().items() if path != "a.jsonl#0"} == {
        f"a.jsonl#{now}": ids[f"a.jsonl#{before}"] for now, before in old.items()
    }
    assert world.answers()["a.jsonl#0"] == ["Inserted."]
    assert world.sync().files == FileCounts(unchanged=1)


def test_equal_records_are_documents_of_their_own(world: World) -> None:
    world.write("a.jsonl", '{"text": "Same."}\n' * 3)
    report = world.sync(world.folder)
    assert (report.n_documents, report.n_passages, report.n_passages_encoded) == (3, 3, 1)
    ids = world.ids()
    world.write("a.jsonl", '{"text": "Same."}\n' * 2)
    world.sync()
    assert world.ids() == {path: ids[path] for path in ("a.jsonl#0", "a.jsonl#1")}


@pytest.mark.usefixtures("later")
def test_bad_records_are_named_in_every_run_and_the_others_indexed(world: World) -> None:
    world.write("a.jsonl", '{"text": "One."}\nnot json\n{"text": "Two."}\n{"title": "no text"}\n')
    why = "no text: expected one of 'text', 'content', 'context', 'body'"
    expected = (
        Skipped(str(world.folder / "a.jsonl#1"), "not JSON (Expecting value, column 1)", "damaged"),
        Skipped(str(world.folder / "a.jsonl#3"), why, "no text"),
    )
    for counts in (FileCounts(added=1), FileCounts(unchanged=1)):
        report = world.sync(world.folder)
        assert (report.files, report.skipped) == (counts, expected)
        assert [event.path for event in world.events if isinstance(event, RecordSkipped)] == [s.path for s in expected]
    assert set(world.answers()) == {"a.jsonl#0", "a.jsonl#2"}
    assert world.generation() == 1


def test_a_record_that_became_bad_leaves_the_index(world: World) -> None:
    world.write("a.jsonl", '{"text": "One."}\n{"text": "Two."}\n')
    world.sync(world.folder)
    world.write("a.jsonl", '{"text": "One."}\n{"text": \n')
    report = world.sync()
    assert (report.files, len(report.skipped)) == (FileCounts(updated=1), 1)
    assert set(world.answers()) == {"a.jsonl#0"}
