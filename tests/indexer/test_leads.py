"""What the encoder reads before a passage: names that the content says, never those of files."""

from __future__ import annotations

import random

import pytest
from parts.tiny_world import TinyEncoder, World

from deformer_qa.indexer import FileCounts
from deformer_qa.indexer.formats import FileLimits, parse
from deformer_qa.indexer.formats.registry import BY_NAME
from deformer_qa.reader.encoder import Encoder


def leads(world: World, path: str) -> dict[str, str]:
    """The lead of each passage of a document by the passage's text."""
    return dict(zip(world.answers()[path], (one.heading for one in world.passages(path)), strict=True))


@pytest.mark.parametrize(
    ("format_name", "content", "title", "is_own"),
    [
        ("text", "Words.", "file", False),
        ("markdown", "Words.", "file", False),
        ("markdown", "# Head\n\nWords.", "Head", True),
        ("markdown", "---\ntitle: Stated\n---\nWords.", "Stated", True),
        ("html", "<p>Words.</p>", "file", False),
        ("html", "<title>Page</title><p>Words.</p>", "Page", True),
        ("html", "<title>file</title><p>Words.</p>", "file", True),
        ("json", '{"a": "Words."}', "file", False),
        ("json", '{"title": "Object", "a": "Words."}', "Object", True),
        ("jsonl", '{"text": "Words."}', "file", False),
        ("jsonl", '{"title": "Record", "text": "Words."}', "Record", True),
        ("csv", "a,b\n1,2\n", "file", False),
        ("rst", "Words.", "file", False),
        ("rst", "Head\n====\n\nWords.", "Head", True),
        ("code", "x = 1\n", "file", False),
        ("eml", "From: a@b.example\nTo: c@d.example\n\nWords.", "file", False),
        ("eml", "From: a@b.example\nSubject: Ferry\n\nWords.", "Ferry", True),
    ],
)
def test_a_document_says_whether_its_title_is_its_own(format_name: str, content: str, title: str, is_own: bool) -> None:
    (document,) = parse(BY_NAME[format_name], "file", content.encode(), FileLimits()).documents
    assert (document.title, document.has_own_title) == (title, is_own)


def test_a_title_beside_the_file_is_its_own_and_one_that_is_the_files_name_is_not_encoded(world: World) -> None:
    world.write("plain.txt", "Words of plain.")
    world.write("told.txt", "Words of told.")
    world.write("told.txt.meta.json", '{"title": "Logbook"}')
    world.sync(world.folder)
    assert sorted(world.encoder.encoded) == ["Logbook\nWords of told.", "Words of plain."]
    titles = {info.path: info.title for info in world.documents().values()}
    assert titles == {"plain.txt": "plain", "told.txt": "Logbook"}


def test_a_passage_has_the_heading_before_it_unless_it_begins_with_one(world: World) -> None:
    world.write("a.md", "Preface.\n\n# Ship\n\nThe hull.\n\n## The mast\n\nIt is tall.\n\nIt bends.\n")
    world.sync(world.folder)
    assert leads(world, "a.md") == {
        "Preface.": "Ship",
        "# Ship": "Ship",
        "The hull.": "Ship",
        "## The mast": "Ship",
        "It is tall.": "Ship › The mast",
        "It bends.": "Ship › The mast",
    }


def test_the_line_drawn_over_a_heading_is_not_in_the_section_before(world: World) -> None:
    world.write("a.rst", "====\nShip\n====\n\nThe hull.\n\n=======\nHarbour\n=======\n\nThe quay.\n")
    world.encoder = TinyEncoder(borders=Blocks())
    world.sync(world.folder)
    assert leads(world, "a.rst") == {
        "====\nShip\n====": "Ship",
        "The hull.": "Ship",
        "=======\nHarbour\n=======": "Ship",
        "The quay.": "Ship › Harbour",
    }


class Blocks:
    """A passage per paragraph."""

    def split(self, text: str, tokenizer: object) -> list[object]:
        from deformer_qa.reader.passages import Span

        spans, start = [], 0
        for block in text.split("\n\n"):
            if block.strip():
                spans.append(Span(start, start + len(block.rstrip())))
            start += len(block) + 2
        return list(spans)


def test_equal_texts_under_different_leads_are_two_rows_and_under_equal_leads_one(world: World) -> None:
    world.write(
        "a.jsonl", "".join(f'{{"title": "{title}", "text": "It is old."}}\n' for title in ("Oak", "Elm", "Oak"))
    )
    report = world.sync(world.folder)
    assert (report.n_documents, report.n_passages_encoded) == (3, 2)
    keys = [world.passages(f"a.jsonl#{number}")[0].key for number in range(3)]
    assert keys[0] == keys[2] != keys[1]
    assert sorted(world.encoder.encoded) == ["Elm\nIt is old.", "Oak\nIt is old."]


def test_a_file_renamed_or_moved_encodes_nothing_with_a_title_of_its_own_or_without(world: World) -> None:
    world.write("sub/titled.md", "# Ship\n\nThe hull.\n\n## Mast\n\nIt is tall.\n")
    world.write("sub/plain.txt", "A line of it.\nAnother line.\n")
    world.sync(world.folder)
    before = leads(world, "sub/titled.md") | leads(world, "sub/plain.txt")
    (world.folder / "sub/titled.md").rename(world.folder / "sub/other.md")
    (world.folder / "sub/plain.txt").rename(world.folder / "sub/renamed.txt")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(moved=2), 0)
    (world.folder / "sub").rename(world.folder / "moved")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(moved=2), 0)
    assert leads(world, "moved/other.md") | leads(world, "moved/renamed.txt") == before
    report = world.sync()
    assert (report.files, report.n_passages_encoded, report.committed) == (FileCounts(unchanged=2), 0, False)


def test_a_file_whose_text_changes_after_a_rename_encodes_only_what_changed(world: World) -> None:
    world.write("a.txt", "A line of it.\nAnother line.\n")
    world.sync(world.folder)
    (world.folder / "a.txt").unlink()
    world.write("b.txt", "A line of it.\nAnother line.\nA third line.\n")
    world.sync()
    assert world.encoder.encoded == ["A third line."]


def test_a_paragraph_at_the_top_of_a_titled_file_of_a_thousand_passages_encodes_at_most_three(
    world: World, default_encoder: Encoder
) -> None:
    chance = random.Random(3)
    world.encoder = RealLeads(borders=default_encoder.borders, tokenizer=default_encoder.tokenizer)
    world.encoder.real = default_encoder

    def paragraph() -> str:
        sentences = (" ".join(chance.choices(("tide", "moon", "ferry", "salt", "gull"), k=9)) for _ in range(8))
        return " ".join(f"{one.capitalize()} {chance.randrange(10**6)}." for one in sentences)

    sections = [f"## Part {number}\n\n" + "\n\n".join(paragraph() for _ in range(10)) for number in range(110)]
    world.write("long.md", "# The tides\n\n" + "\n\n".join(sections))
    assert world.sync(world.folder).n_passages >= 1000
    world.write("long.md", f"# The tides\n\n{paragraph()}\n\n" + "\n\n".join(sections))
    report = world.sync()
    assert report.files == FileCounts(updated=1)
    assert 1 <= report.n_passages_encoded <= 3


class RealLeads(TinyEncoder):
    """The tiny encoder with the leads of a real one."""

    real: Encoder

    def lead(self, title: str, heading: str) -> str:
        return self.real.lead(title, heading)


def test_a_name_that_the_encoder_cannot_take_costs_its_document_alone(world: World) -> None:
    class Strict(TinyEncoder):
        def lead(self, title: str, heading: str) -> str:
            if title == "Bad":
                raise ValueError("no such title")
            return super().lead(title, heading)

    world.encoder = Strict()
    world.write("a.jsonl", '{"title": "Bad", "text": "One."}\n{"title": "Good", "text": "Two."}\n')
    world.sync(world.folder)
    assert world.answers() == {"a.jsonl#1": ["Two."]}
