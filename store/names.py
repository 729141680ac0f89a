"""How things on disk are called: the only module that spells a file name, and judges names read from disk."""

from __future__ import annotations

import re
import secrets

LOCK = "LOCK"
SEGMENTS = "seg"
NEW_MANIFEST = "MANIFEST.tmp"
QUARANTINE_SUFFIX = ".damaged"

# Files of a block segment.
VECTORS = "vectors"
STATES = "states"
SCALES = "scales"
OFFSETS = "offsets"
KEYS = "keys"
LOOKUP = "lookup"
SUMS = "sums"

# Files of a catalogue segment.
CATALOGUE = "meta.sqlite"
PASSAGE_IDS = "passage_ids"
PASSAGE_DOCUMENTS = "passage_documents"
PASSAGE_LENGTHS = "passage_lengths"

# Files of an export.
EXPORT = "export.json"
DOCUMENTS = "documents.jsonl"

BLOCK_FILES = frozenset((VECTORS, STATES, OFFSETS, KEYS, LOOKUP, SUMS))  # and SCALES where the encoding has them
CATALOGUE_FILES = frozenset((CATALOGUE, PASSAGE_IDS, PASSAGE_DOCUMENTS, PASSAGE_LENGTHS))

_MANIFEST = re.compile(r"MANIFEST-([1-9][0-9]{0,14})")
_QUARANTINED = re.compile(r"MANIFEST-([1-9][0-9]{0,14})\.damaged(\.[0-9]+)?")
_SEGMENT = re.compile(r"([1-9][0-9]{0,14})-[0-9a-f]{8}")


def manifest_name(generation: int) -> str:
    """The name of the manifest of one generation, without leading zeros: one spelling per number."""
    return f"MANIFEST-{generation}"


def manifest_generation(name: str) -> int | None:
    """The generation that a manifest's name says, None for any other name."""
    match = _MANIFEST.fullmatch(name)
    return int(match[1]) if match else None


def quarantined_generation(name: str) -> int | None:
    """The generation of a manifest that was set aside as damaged, None for any other name."""
    match = _QUARANTINED.fullmatch(name)
    return int(match[1]) if match else None


def new_segment_name(generation: int) -> str:
    """A fresh segment name; the random part keeps the leavings of a killed commit apart from its repetition."""
    return f"{generation}-{secrets.token_hex(4)}"


def segment_generation(name: str) -> int | None:
    """The generation that first committed a segment, None for what is no segment's name (and might leave ``seg/``)."""
    match = _SEGMENT.fullmatch(name)
    return int(match[1]) if match else None


def rows_name(number: int) -> str:
    """The name of an export's file of rows, counted from 1."""
    return f"rows-{number:05}.safetensors"


def unfinished_name(name: str) -> str:
    """A fresh name for a folder that is to be called ``name`` once it is whole."""
    return f".{name}.unfinished-{secrets.token_hex(4)}"


def segment_file(segment: str, file: str) -> str:
    """The path of a segment's file, relative to the store: what messages and ``Damage.file`` show."""
    return f"{SEGMENTS}/{segment}/{file}"
