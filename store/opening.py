"""Prepares a store for a writer: makes the folder, agrees on the encoder, tidies up."""

from __future__ import annotations

from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.encodings import DEFAULT_ENCODING, VALUES_PER_CODE, Codebook, ProductQuantised, encoding_named
from deformer_qa.store.errors import (
    EncoderMismatch,
    InvalidRecord,
    StoreAccess,
    StoreError,
    StoreMissing,
    writing_refused,
)
from deformer_qa.store.generations import Head, collect, find_head, remove_segments
from deformer_qa.store.records import EncoderInfo, to_json


def make_folder(path: Path, create: bool) -> None:
    """Make the store's folder durably, if it is missing."""
    if path.is_dir():
        return
    if path.exists() or not create:
        problem = "found a file, expected a store's folder" if path.exists() else "there is no store here"
        raise StoreMissing(path, problem)
    try:
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                disk.make_directory(folder)
                disk.sync_directory(folder.parent)
    except OSError as error:
        problem = f"cannot make the store's folder ({error.strerror})"
        raise StoreAccess(path, problem) from error


def check_unicode(what: str, *words: str) -> None:
    """Refuse text for a manifest that is not valid Unicode, as file names may be.

    :raises InvalidRecord: naming the text's role.
    """
    try:
        "".join(words).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRecord(f"{what}: found text that is no valid Unicode ({error.reason}), expected none.") from error


def check_encoder(encoder: EncoderInfo | None) -> None:
    """Refuse an encoder that a manifest cannot hold; None stands for the store's own.

    :raises InvalidRecord: naming what is wrong.
    """
    if encoder is None:
        return
    try:
        check_unicode("encoder", encoder.encoder_id, to_json(dict(encoder.about)))
    except InvalidRecord:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidRecord(f"encoder: its description is not json ({error}).") from error
    if encoder.vector_width < 1 or encoder.hidden_width < 1:
        widths = f"{encoder.vector_width} and {encoder.hidden_width}"
        raise InvalidRecord(f"encoder: found widths {widths}, expected more than 0.")


def head_or_none(path: Path, create: bool) -> Head | None:
    try:
        return find_head(path)
    except StoreMissing:
        if create:
            return None
        raise


def agreed_encoding(
    path: Path, head: Head | None, encoder: EncoderInfo, encoding: str | None, codebook: Codebook | None
) -> tuple[str, Codebook | None]:
    """The encoding to write with, and the codebook for a new store, if that encoding has one.

    :raises EncoderMismatch: if the store's encoder, widths or encoding differ from those asked for.
    :raises InvalidRecord: if a new store's encoding is unknown, does not fit the states, or lacks its codebook.
    """
    if head is None:
        name = encoding or (codebook.encoding if codebook else DEFAULT_ENCODING)
        if name not in VALUES_PER_CODE:
            encoding_named(name).widths(encoder.hidden_width)
            return name, None
        chosen = ProductQuantised(name, codebook)
        chosen.widths(encoder.hidden_width)
        if len(chosen.codebook.mean) != encoder.hidden_width or chosen.codebook.encoding != name:
            raise InvalidRecord(
                f"encoding {name}: found a codebook of {chosen.codebook.encoding} for states "
                f"{len(chosen.codebook.mean)} wide, expected its own for {encoder.hidden_width}."
            )
        return name, chosen.codebook
    there = head.manifest.encoder
    for what, found, expected in (
        ("encoder", there.encoder_id, encoder.encoder_id),
        ("vector width", str(there.vector_width), str(encoder.vector_width)),
        ("hidden width", str(there.hidden_width), str(encoder.hidden_width)),
        ("states encoded as", head.manifest.encoding, encoding or head.manifest.encoding),
    ):
        if found != expected:
            raise EncoderMismatch(path, what, found, expected)
    return head.manifest.encoding, None


def set_aside(path: Path, head: Head) -> None:
    """Rename damaged manifests above the head, so that they cannot hide the next generation; nothing is deleted."""
    try:
        for error in head.damaged:
            target = path / (error.file + names.QUARANTINE_SUFFIX)
            number = 0
            while target.exists():
                number += 1
                target = path / f"{error.file}{names.QUARANTINE_SUFFIX}.{number}"
            disk.rename_file(path / error.file, target)
        if head.damaged:
            disk.sync_directory(path)
    except OSError as os_error:
        raise _refused(path, os_error) from os_error


def prepare_folder(path: Path, head: Head | None) -> None:
    """Make ``seg/``, and remove what no kept generation needs."""
    segments = path / names.SEGMENTS
    try:
        if not segments.exists():
            disk.make_directory(segments)
            disk.sync_directory(path)
        if head is not None:
            collect(path, head.manifest)
        else:
            remove_segments(path, needed=frozenset())
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> StoreError:
    return writing_refused(path, path, error) or StoreAccess(
        path, f"no permission to write the store ({error.strerror})"
    )
