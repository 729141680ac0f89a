"""How much of a file is read at most, and for how long?"""

from __future__ import annotations

from dataclasses import dataclass

DOCUMENTS = 10


@dataclass(frozen=True)
class FileLimits:
    """What a file may be and cost; one beyond a limit is skipped with a reason that names the limit.

    :ivar file_bytes: length of the file
    :ivar text_characters: of a document; of all documents of a file together, ``DOCUMENTS`` times as many
    :ivar pages: pages, slides or sheets
    :ivar members: files in an archive, as office documents and e-books are
    :ivar unpacked_bytes: all members of an archive together
    :ivar ratio: unpacked to packed bytes of one member (small members may have any)
    :ivar nesting: values of JSON, or parts of mail, in each other
    :ivar seconds: of a clock on the wall, for reading one file's text
    :ivar memory_bytes: address space of the process that reads it
    """

    file_bytes: int = 256 * 2**20
    text_characters: int = 10_000_000
    pages: int = 10_000
    members: int = 10_000
    unpacked_bytes: int = 1024 * 2**20
    ratio: int = 1_000
    nesting: int = 1_000
    seconds: float = 20.0
    memory_bytes: int = 1536 * 2**20


DEFAULT_LIMITS = FileLimits()
