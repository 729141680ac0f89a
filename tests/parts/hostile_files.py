"""A folder of files that no program should trust, with good ones among them; ``plant`` writes it.

Every canary is the text of a file outside of the folder, to which something in the folder points.
"""

# ruff: noqa: E501 - the files are data, one a line

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from parts.bad_files import bad_files
from parts.made_files import docx, epub, pdf, pptx, xlsx

CANARY = "Zanzibarquux"
"""A word that stands outside of the folder only."""

GOOD = {  # file: (content, question, answer)
    "good-1.txt": (b"The lighthouse of Ardmoor was built in 1823 by Ellen Voss.", "Who built the lighthouse?", "Ellen Voss"),
    "good-2.md": (b"# Rivers\n\nThe river Tamble flows into Lake Orren.\n", "Where does the river Tamble flow?", "Lake Orren"),
    "good-3.html": (b"<h1>Bees</h1><p>The beekeeper of Halwick is called Piotr Lund.</p>", "What is the beekeeper of Halwick called?", "Piotr Lund"),
    "good-4.jsonl": (b'{"text": "The opera Serafine was composed by Mira Okafor."}\n', "Who composed the opera Serafine?", "Mira Okafor"),
    "good-5.json": (b'{"ferry": {"captain": "Jonas Pell", "port": "Westhaven"}}', "Who is the captain of the ferry?", "Jonas Pell"),
    "good-6.csv": (b"Product,Price,Maker\nMarvex lamp,12 dollars,Hollis Works\nDorian chair,90 dollars,Brandt Mill\n", "What is the price of the Dorian chair?", "90 dollars"),
    "good-7.rst": (b"Towers\n======\n\nThe tower of Kesh is 88 metres high.\n", "How high is the tower of Kesh?", "88 metres"),
    "good-8.ipynb": (json.dumps({"cells": [{"cell_type": "markdown", "source": ["The drift constant of Velm is 4.7."]}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode(), "What is the drift constant of Velm?", "4.7"),
    "good-9.py": (b'"""The scheduler was written by Tamsin Roe in 2019."""\n\n\ndef run():\n    pass\n', "Who wrote the scheduler?", "Tamsin Roe"),
    "good-10.eml": (b"From: Ada Byrne <ada@example.org>\r\nTo: Lou <lou@example.org>\r\nDate: Mon, 3 Mar 2025 10:00:00 +0000\r\nSubject: Rehearsal\r\n\r\nThe rehearsal takes place in the Corvin Hall.\r\n", "Where does the rehearsal take place?", "Corvin Hall"),
    "good-11.tsv": (b"Instrument\tBuilder\nThe Velden organ\tPer Stahl\n", "Who is the builder of the Velden organ?", "Per Stahl"),
    "good-12": (b"The password of the archive is Tangerine.\n", "What is the password of the archive?", "Tangerine"),
    "good-13.log": (b"The server Bravo was restarted by Nils Aker.\n", "Who restarted the server Bravo?", "Nils Aker"),
    "good-14.txt": ("\ufeffThe museum of Ostrava-Lhota closes at 17:30.".encode("utf-16"), "When does the museum close?", "17:30"),
    "good-15.pdf.txt": (b"The bridge of Sarn was designed by Olga Wende.", "Who designed the bridge of Sarn?", "Olga Wende"),
    "good-16.html": (b"<!doctype html><p>The comet Halvard returns every 61 years.", "How often does the comet Halvard return?", "every 61 years"),
    "good-17.unknown": (b"The glacier of Munt is retreating by nine metres a year.", "By how much is the glacier of Munt retreating?", "nine metres"),
    "good-18.markdown": (b"---\ntitle: Cheese\n---\n\nThe cheese of Vall ripens for fourteen months.\n", "How long does the cheese of Vall ripen?", "fourteen months"),
}  # fmt: skip
"""And five more of office formats, see ``_good_archives``: 23 in all."""


def plant(folder: Path, outside: Path) -> dict[str, tuple[str, str]]:
    """Write the folder; (question, answer) of each good file in it by name."""
    for where in (folder, outside):
        where.mkdir(parents=True)
    (outside / "secret.txt").write_text(f"The secret of {CANARY} is here.")
    asked = {}
    for name, (content, question, answer) in (GOOD | dict(_good_archives())).items():
        (folder / name).write_bytes(content)
        asked[name] = (question, answer)
    for name, content in bad_files(outside / "secret.txt"):
        assert not (folder / name).exists(), name
        (folder / name).write_bytes(content)
    _plant_special(folder, outside)
    _plant_names(folder)
    return asked


def n_bad(folder: Path) -> int:
    """How many entries of the folder are no good ones."""
    return sum(not os.fsencode(one.name).startswith(b"good-") for one in folder.iterdir())


def _good_archives() -> Iterator[tuple[str, tuple[bytes, str, str]]]:
    yield (
        "good-19.pdf",
        (pdf(["Nothing of note.", "The chapel of Brenn was painted by Luca Sant."]), "Who painted the chapel of Brenn?", "Luca Sant"),
    )  # fmt: skip
    yield (
        "good-20.docx",
        (docx("The mayor of Tollen is Greta Halm."), "Who is the mayor of Tollen?", "Greta Halm"),
    )
    yield (
        "good-21.pptx",
        (pptx("The launch of Orbiter Five is on 9 May."), "When is the launch of Orbiter Five?", "9 May"),
    )
    yield (
        "good-22.xlsx",
        (xlsx([["City", "Mayor"], ["Tarn", "Ruth Ekman"]]), "Who is the mayor of Tarn?", "Ruth Ekman"),
    )
    yield (
        "good-23.epub",
        (epub("<h1>One</h1><p>The captain of the Heron is called Sam Wirth.</p>"), "What is the captain of the Heron called?", "Sam Wirth"),
    )  # fmt: skip


# What is no file, and names


def _plant_special(folder: Path, outside: Path) -> None:
    os.mkfifo(folder / "special-pipe.txt")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            sock.bind("special-socket.txt")
        finally:
            os.chdir(here)
    (folder / "link-loop").symlink_to("link-loop")
    (folder / "link-loop-1").symlink_to("link-loop-2")
    (folder / "link-loop-2").symlink_to("link-loop-1")
    (folder / "link-self").symlink_to(".")
    (folder / "link-up").symlink_to("..")
    (folder / "link-nothing.txt").symlink_to("nowhere.txt")
    (folder / "link-out.txt").symlink_to(outside / "secret.txt")
    (folder / "link-out").symlink_to(outside)
    (folder / "link-root").symlink_to("/")
    (folder / "link-proc.txt").symlink_to("/proc/self/environ")
    (folder / "link-zero.txt").symlink_to("/dev/zero")
    (folder / "link-meta.txt").write_text("A file whose metadata lie elsewhere.")
    (folder / "link-meta.txt.meta.json").symlink_to(outside / "secret.txt")
    unreadable = folder / "unreadable.txt"
    unreadable.write_text("Nobody may read this.")
    unreadable.chmod(0)
    closed = folder / "unreadable-folder"
    closed.mkdir()
    (closed / "inside.txt").write_text("Nobody may list this.")
    closed.chmod(0)
    os.truncate(os.open(folder / "sparse.txt", os.O_CREAT | os.O_WRONLY), 2**40)


def _plant_names(folder: Path) -> None:
    names = (
        b"name-\x1b[31mred\x1b[0m.txt", b"name-\x1b]0;owned\x07.txt", b"name-new\nline.txt", b"name-\r-return.txt",
        b"name-\xff\xfe.txt", b"name-\xc3\x28.md", b"name-\xed\xa0\x80.txt", "name-\u202egnp.txt".encode(),
        b"name-\t.txt", b"name-\x7f.txt", "name-\u2028.txt".encode(), b"name-;rm -rf $HOME;.txt", b"name-%s%n{0}.txt",
        b"name-'\"`.txt", b"name-" + b"x" * 240 + b".txt", b"name-.txt.", b"name- .txt", b"name-#3.txt", b"name-a.jsonl#1",
    )  # fmt: skip
    for number, name in enumerate(names):
        (folder / os.fsdecode(name)).write_text(f"Words of the file with the odd name {number}.")
