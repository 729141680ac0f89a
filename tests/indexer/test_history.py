"""Whatever is done to a corpus, after a sync the index says what the files say."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from parts.tiny_world import World

from deformer_qa.store import verify

NAMES = st.sampled_from(["a.txt", "b.txt", "x/a.txt", "x/b.txt", "y/c.txt", "x/y/a.txt"])
LINES = st.lists(st.sampled_from(["one", "two", "three four", "five"]), min_size=1, max_size=4)


class AnyHistory(RuleBasedStateMachine):
    """Files written, renamed and removed; folders renamed; syncs of the whole or of a part, some cut short."""

    @initialize()
    def begin(self) -> None:
        self.top = Path(tempfile.mkdtemp())
        self.world = World(self.top / "corpus", self.top / "store")
        self.world.write("first.txt", "first")
        self.world.sync(self.world.folder)
        self.synced = self.said()

    def teardown(self) -> None:
        shutil.rmtree(self.top)

    def said(self) -> dict[str, list[str]]:
        """What the files say."""
        folder = self.world.folder
        files = sorted(path for path in folder.rglob("*.txt") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text().split("\n") for path in files}

    @rule(name=NAMES, lines=LINES)
    def write(self, name: str, lines: list[str]) -> None:
        self.world.write(name, "\n".join(lines))

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        (self.world.folder / name).unlink(missing_ok=True)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        source, target = self.world.folder / old, self.world.folder / new
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)

    @rule()
    def change_names_of_folders(self) -> None:
        x, y, other = (self.world.folder / name for name in ("x", "y", "z"))
        if x.exists() and y.exists():
            x.rename(other)
            y.rename(x)
            other.rename(y)

    @rule(often=st.booleans())
    def sync_all(self, often: bool) -> None:
        known = {line for lines in self.synced.values() for line in lines}
        ids = self.world.ids()
        report = self.world.sync(commit_seconds=0.0 if often else 60.0)
        before, self.synced = self.synced, self.said()
        assert not set(self.world.encoder.encoded) & known, "what had a row is not encoded"
        now = self.world.ids()
        for path, lines in self.synced.items():
            if before.get(path) == lines and list(before.values()).count(lines) == 1:
                assert now[path] == ids[path], "what stayed keeps its id"
        files = report.files
        assert files.added + files.updated + files.moved + files.unchanged == len(self.synced)
        assert files.skipped == 0

    @rule()
    def sync_part(self) -> None:
        part = self.world.folder / "x"
        if part.exists() and any(part.rglob("*.txt")):
            self.world.sync(part)
            outside = {path: lines for path, lines in self.synced.items() if not path.startswith("x/")}
            self.synced = outside | {path: lines for path, lines in self.said().items() if path.startswith("x/")}

    @rule(n_passages=st.integers(0, 3))
    def sync_cut_short(self, n_passages: int) -> None:
        def fail(text: str) -> None:
            if len(self.world.encoder.encoded) == n_passages:
                raise KeyboardInterrupt

        self.world.encoder.fail_at = fail
        try:
            self.world.sync()
        except KeyboardInterrupt:
            pass
        finally:
            self.world.encoder.fail_at = lambda text: None
        self.world.sync()
        self.synced = self.said()

    @invariant()
    def the_index_says_what_the_files_said_at_the_last_sync(self) -> None:
        if hasattr(self, "synced"):
            assert self.world.answers() == self.synced
            assert verify(self.world.store) == []


AnyHistory.TestCase.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
TestAnyHistory = AnyHistory.TestCase
