"""What a writer leaves alone, and what the package never loads.

Stores that somebody prepared, a hundred of them, are opened, asked, verified and written to in ``tests/torture``.
"""

from __future__ import annotations

from pathlib import Path

import deformer_qa.store as package
from deformer_qa.store import Writer


def test_collection_removes_links_and_not_what_they_lead_to(filled, tiny, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letters").write_text("keep me")
    (filled / "seg" / "1-00000000").symlink_to(precious)
    (filled / "seg" / "not-ours").mkdir()
    (filled / "seg" / "not-ours" / "file").write_text("keep me too")
    (filled / "notes.txt").write_text("and me")
    Writer.open(filled, tiny.encoder).close()
    assert (precious / "letters").read_text() == "keep me"
    assert not (filled / "seg" / "1-00000000").is_symlink()
    assert (filled / "seg" / "not-ours" / "file").read_text() == "keep me too"
    assert (filled / "notes.txt").read_text() == "and me"


def test_the_package_loads_no_pickles():
    sources = {file.name: file.read_text() for file in Path(package.__file__).parent.glob("*.py")}
    words = ("pickle", "torch", "eval(", "exec(", "allow_pickle", "np.load", "marshal", "shelve", "haystack")
    assert {name: word for name, source in sources.items() for word in words if word in source} == {}
