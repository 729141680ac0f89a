"""Names on disk: only this module spells file names, and checks names read from disk."""

from __future__ import annotations

import os
import re

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

# File of a codebook segment.
CODEBOOK = "codebook"

# Files of a catalogue segment.
CATALOGUE = "meta.sqlite"
PASSAGE_IDS = "passage_ids"
PASSAGE_DOCUMENTS = "passage_documents"
PASSAGE_LENGTHS = "passage_lengths"
WORDS = "words"
WORD_OFFSETS = "word_offsets"
WORD_BOUNDS = "word_bounds"
POSTING_PLACES = "posting_places"
POSTING_COUNTS = "posting_counts"

# Files of a vector index segment.
CENTROIDS = "centroids"
LIST_OFFSETS = "list_offsets"
LIST_ROWS = "list_rows"
LIST_CODES = "list_codes"
LIST_SCALES = "list_scales"
CENTROID_GRAPH = "ann.faiss"

# Files of an export.
EXPORT = "export.json"
DOCUMENTS = "documents.jsonl"
EXPORTED_CODEBOOK = "codebook.safetensors"

BLOCK_FILES = frozenset((VECTORS, STATES, OFFSETS, KEYS, LOOKUP, SUMS))  # and SCALES if the encoding has them
CODEBOOK_FILES = frozenset((CODEBOOK,))
WORD_FILES = frozenset((WORDS, WORD_OFFSETS, WORD_BOUNDS, POSTING_PLACES, POSTING_COUNTS))
CATALOGUE_FILES = frozenset((CATALOGUE, PASSAGE_IDS, PASSAGE_DOCUMENTS, PASSAGE_LENGTHS)) | WORD_FILES
INDEX_FILES = frozenset((CENTROIDS, LIST_OFFSETS, LIST_ROWS, LIST_CODES, LIST_SCALES))  # and CENTROID_GRAPH for HNSW

_MANIFEST = re.compile(r"MANIFEST-([1-9][0-9]{0,14})")
_QUARANTINED = re.compile(r"MANIFEST-([1-9][0-9]{0,14})\.damaged(\.[0-9]+)?")
_SEGMENT = re.compile(r"([1-9][0-9]{0,14})-[0-9a-f]{8}")


def token_hex(n_bytes: int) -> str:
    """Random bytes as hex digits, for names that no other process takes."""
    return os.urandom(n_bytes).hex()


def manifest_name(generation: int) -> str:
    """The name of the manifest of one generation, without leading zeros: one spelling per number."""
    return f"MANIFEST-{generation}"


def manifest_generation(name: str) -> int | None:
    """The generation in a manifest's name, None for any other name."""
    match = _MANIFEST.fullmatch(name)
    return int(match[1]) if match else None


def quarantined_generation(name: str) -> int | None:
    """The generation of a manifest that was set aside as damaged, None for any other name."""
    match = _QUARANTINED.fullmatch(name)
    return int(match[1]) if match else None


def new_segment_name(generation: int) -> str:
    """A fresh segment name; its random part separates leftovers of a killed commit from its repetition."""
    return f"{generation}-{token_hex(4)}"


def segment_generation(name: str) -> int | None:
    """The generation in a segment's name, None for any other name (which might lead out of ``seg/``)."""
    match = _SEGMENT.fullmatch(name)
    return int(match[1]) if match else None


def rows_name(number: int) -> str:
    """The name of an export's file of rows, counted from 1."""
    return f"rows-{number:05}.safetensors"


def unfinished_name(name: str) -> str:
    """A fresh name for a folder that will be renamed to ``name`` once it is complete."""
    return f".{name}.unfinished-{token_hex(4)}"


def segment_file(segment: str, file: str) -> str:
    """The path of a segment's file, relative to the store, as in messages and ``Damage.file``."""
    return f"{SEGMENTS}/{segment}/{file}"
