"""Checks zip archives, which office documents and e-books are, before a library unpacks them."""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable

_ENCRYPTED = 0x1
_SMALL_BYTES = 2**20  # members up to this length may have any compression
_ENTITY = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def open_archive(raw: bytes, limits: FileLimits) -> zipfile.ZipFile:
    """Open an archive whose members are neither too many nor too large nor encrypted, without unpacking any.

    zipfile unpacks no more of a member than its entry states, so a false entry costs no memory.

    :raises NotReadable: if it is damaged, encrypted, or beyond a limit.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise NotReadable(f"damaged zip archive ({error})") from None
    members = archive.infolist()
    if len(members) > limits.members:
        raise NotReadable(
            f"an archive of {len(members):,} files, at most {limits.members:,} are unpacked (--max-members)", "limit"
        )
    if any(one.flag_bits & _ENCRYPTED for one in members):
        raise NotReadable("encrypted: it opens with a password only", "encrypted")
    n_bytes = sum(one.file_size for one in members)
    if n_bytes > limits.unpacked_bytes:
        reason = f"{n_bytes:,} bytes when unpacked, at most {limits.unpacked_bytes:,} are read (--max-unpacked)"
        raise NotReadable(reason, "limit")
    for one in members:
        if one.file_size > max(_SMALL_BYTES, limits.ratio * one.compress_size):
            reason = f"a member is compressed to less than 1/{limits.ratio:,} of its size (--max-ratio)"
            raise NotReadable(reason, "limit")
    return archive


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member. :raises NotReadable: if it is missing or damaged."""
    try:
        return archive.read(name)
    except KeyError:
        raise NotReadable(f"damaged: {name[:100]} is missing") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise NotReadable(f"damaged: {name[:100]} cannot be unpacked ({error})") from None


def refuse_entities(archive: zipfile.ZipFile, limits: FileLimits) -> None:
    """Refuse XML that declares entities: office documents never do, and an entity bomb must.

    :raises NotReadable: if a part declares entities, or is damaged.
    """
    for one in archive.infolist():
        if one.filename.endswith((".xml", ".rels")) and _ENTITY.search(member(archive, one.filename)[:4096]):
            raise NotReadable("its XML declares entities, which no office document does", "damaged")
