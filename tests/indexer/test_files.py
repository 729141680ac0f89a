"""Which files a root has: in order, without hidden ones, and every other thing with its reason."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deformer_qa.indexer.files import Listing, Unread, list_files, read_file, shown
from deformer_qa.indexer.formats import NotReadable


def tree(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def paths(listing: Listing) -> list[str]:
    return [file.path for file in listing.files]


def reasons(listing: Listing) -> dict[str, str]:
    return {unread.path: unread.reason for unread in listing.unread}


def test_files_come_in_the_order_of_their_paths_without_hidden_ones(tmp_path: Path) -> None:
    tree(tmp_path, "b.txt", "a/z.txt", "a/b/c.txt", "a.txt", ".hidden.txt", ".git/x.txt", "a/.x/y.txt", "Z.png")
    listing = list_files(str(tmp_path))
    assert paths(listing) == ["Z.png", "a.txt", "a/b/c.txt", "a/z.txt", "b.txt"]
    assert listing.unread == ()
    assert all(file.source.read_text() == file.path for file in listing.files)


def test_a_part_of_a_root_lists_only_that(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.txt", "ab/y.txt", "a/b/z.txt")
    assert paths(list_files(str(tmp_path), "a")) == ["a/b/z.txt", "a/x.txt"]
    assert paths(list_files(str(tmp_path), "ab/y.txt")) == ["ab/y.txt"]


def test_a_root_may_be_one_file(tmp_path: Path) -> None:
    tree(tmp_path, "only.txt", "other.txt")
    (file,) = list_files(str(tmp_path / "only.txt")).files
    assert (file.path, file.shown, file.n_bytes) == ("only.txt", str(tmp_path / "only.txt"), 8)


def test_the_store_is_never_part_of_a_root(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "index/seg/b.txt", "c/index/d.txt")
    never = [tmp_path / "index"]
    assert paths(list_files(str(tmp_path), never=never)) == ["a.txt", "c/index/d.txt"]
    assert list_files(str(tmp_path), "index/seg", never=never) == Listing((), ())
    assert list_files(str(tmp_path / "index"), never=never) == Listing((), ())
    assert list_files(str(tmp_path / "index/seg"), never=never) == Listing((), ())
    assert list_files(str(tmp_path / "index/seg/b.txt"), never=never) == Listing((), ())


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket must be short
        try:
            listener.bind("socket.txt")
        finally:
            os.chdir(before)
        listing = list_files(str(tmp_path))
    assert paths(listing) == ["a.txt"]
    assert reasons(listing) == {"pipe.txt": "a pipe, not a regular file", "socket.txt": "a socket, not a regular file"}
    assert reasons(list_files(str(tmp_path / "pipe.txt"))) == {"pipe.txt": "a pipe, not a regular file"}


def test_a_device_is_no_file() -> None:
    assert reasons(list_files("/dev/null")) == {"null": "a device, not a regular file"}


def test_links_out_of_the_root_and_to_nothing_are_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, "root/a.txt", "outside/b.txt")
    root = tmp_path / "root"
    (root / "file.txt").symlink_to(tmp_path / "outside/b.txt")
    (root / "folder").symlink_to("../outside")
    (root / "broken.txt").symlink_to("nowhere.txt")
    listing = list_files(str(root))
    assert paths(listing) == ["a.txt"]
    out = "a link that leads out of the indexed folder"
    assert reasons(listing) == {"file.txt": out, "folder": out, "broken.txt": "a broken link"}


def test_links_in_circles_are_harmless(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/x.txt")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/self").symlink_to(".")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    listing = list_files(str(tmp_path))
    assert paths(listing) == ["a/b/x.txt"]
    assert reasons(listing) == {"one": "a broken link", "two": "a broken link"}


def test_a_link_to_a_file_of_the_root_adds_nothing(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.txt")
    (tmp_path / "0.txt").symlink_to("a/x.txt")
    (tmp_path / "0").symlink_to("a")
    assert paths(list_files(str(tmp_path))) == ["a/x.txt"]
    assert list_files(str(tmp_path)).unread == ()


def test_a_link_to_something_hidden_in_the_root_is_followed_once(tmp_path: Path) -> None:
    tree(tmp_path, ".versions/3/x.txt", ".objects/77", "a.txt")
    (tmp_path / "current").symlink_to(".versions/3")
    (tmp_path / "latest").symlink_to("current")
    (tmp_path / ".versions/3/again").symlink_to("..")
    (tmp_path / "paper.txt").symlink_to(".objects/77")
    listing = list_files(str(tmp_path))
    assert paths(listing) == ["a.txt", "current/x.txt", "paper.txt"]
    assert [file.source.read_text() for file in listing.files] == ["a.txt", ".versions/3/x.txt", ".objects/77"]


def test_a_name_that_is_no_utf8_is_named_readably(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt")
    (tmp_path / os.fsdecode(b"b\xff.txt")).write_text("x")
    listing = list_files(str(tmp_path))
    assert paths(listing) == ["a.txt"]
    (unread,) = listing.unread
    assert (unread.shown, unread.reason) == (f"{tmp_path}/b\\xff.txt", "its name is not UTF-8")


def test_a_root_that_vanished_hides_all_of_it(tmp_path: Path) -> None:
    root = str(tmp_path / "gone")
    reason = "cannot be accessed: no such file or directory"
    assert list_files(root) == Listing((), (Unread(root, "", reason, "gone", hides_content=True),))


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 1000)
    (file,) = list_files(str(tmp_path)).files
    assert read_file(file, 1000).raw == b"x" * 1000
    with pytest.raises(NotReadable, match="1,000 bytes, at most 999 are read"):
        read_file(file, 999)


def test_a_file_that_became_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (file,) = list_files(str(tmp_path)).files
    file.source.unlink()
    os.mkfifo(file.source)
    with pytest.raises(NotReadable, match="no longer a regular file"):
        read_file(file, 1000)


def test_a_young_file_has_no_state_to_be_recognised_by(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (file,) = list_files(str(tmp_path)).files
    assert file.state == ""
    assert read_file(file, 1000).state == ""


@pytest.mark.usefixtures("later")
def test_an_old_file_is_recognised_until_anything_about_it_changes(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    place.write_bytes(b"x")
    (file,) = list_files(str(tmp_path)).files
    assert file.state == read_file(file, 1000).state != ""
    times = (place.stat().st_atime_ns, place.stat().st_mtime_ns)
    place.write_bytes(b"y")
    os.utime(place, ns=times)
    (changed,) = list_files(str(tmp_path)).files
    assert changed.state != file.state, "the same size and time of change, yet other bytes"


def test_a_root_that_is_a_file_is_not_named_twice(tmp_path: Path) -> None:
    assert shown("/c/a.jsonl", "a.jsonl#3") == "/c/a.jsonl#3"
    assert shown("/c", "b/a.txt") == "/c/b/a.txt"
    assert shown("/", "a.txt") == "/a.txt"
    tree(tmp_path, "a.txt/a.txt")
    assert shown(f"{tmp_path}/a.txt", "a.txt") == f"{tmp_path}/a.txt/a.txt"
