"""The manifest of a generation: its content, and its bytes, every one covered by a checksum."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import xxhash

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import ENCODING_NAMES, VALUES_PER_CODE, encoding_named
from deformer_qa.store.errors import InvalidRecord, StoreDamaged, StoreFormat
from deformer_qa.store.index_choice import AUTO, check_choice, parsed
from deformer_qa.store.records import EncoderInfo, to_json
from deformer_qa.store.segments import ranges

FORMAT = 1
OLDEST_READABLE_FORMAT = 1  # 0 was never frozen
KNOWN_FEATURES: frozenset[str] = frozenset()
LARGEST_MANIFEST = 1 << 28

_HEADER = re.compile(rb"deformer-qa-store (0|[1-9][0-9]{0,5}) ([0-9a-f]{32})\n")
_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class BlockEntry:
    """A block segment as one generation sees it: its shape, files, and the rows that no live passage refers to."""

    segment: str
    n_rows: int
    n_tokens: int
    dead_rows: ranges.Ranges
    files: Mapping[str, FileSum]

    @property
    def n_live_rows(self) -> int:
        return self.n_rows - ranges.count(self.dead_rows)

    @property
    def n_bytes(self) -> int:
        return sum(file.n_bytes for file in self.files.values())


@dataclass(frozen=True)
class CatalogueEntry:
    """A catalogue segment as one generation sees it: its invalid documents, and counts of the others."""

    segment: str
    n_documents: int
    n_passages: int
    n_words: int  # distinct words
    n_postings: int  # pairs of a word and a passage that holds it
    n_terms: int  # words of all its passages, including titles and headings
    deleted_documents: ranges.Ranges
    n_live_documents: int
    n_live_passages: int
    n_live_terms: int  # words of live passages alone: BM25's corpus length
    files: Mapping[str, FileSum]

    @property
    def n_bytes(self) -> int:
        return sum(file.n_bytes for file in self.files.values())


@dataclass(frozen=True)
class CodebookEntry:
    """The codebook of the encoding, if it has one; made with the first generation."""

    segment: str
    files: Mapping[str, FileSum]

    @property
    def n_bytes(self) -> int:
        return sum(file.n_bytes for file in self.files.values())


@dataclass(frozen=True)
class CoveredBlock:
    """A block whose rows, dead or alive, a vector index holds; it may have been merged away since."""

    segment: str
    n_rows: int


@dataclass(frozen=True)
class IndexEntry:
    """A vector index segment: its rows are those of the covered blocks, in this order."""

    segment: str
    factory: str
    n_probes: int  # lists searched for a question
    covers: tuple[CoveredBlock, ...]
    files: Mapping[str, FileSum]

    @property
    def n_rows(self) -> int:
        return sum(block.n_rows for block in self.covers)

    @property
    def n_lists(self) -> int:
        return parsed(self.factory).n_lists

    @property
    def n_bytes(self) -> int:
        return sum(file.n_bytes for file in self.files.values())


Entry = BlockEntry | CatalogueEntry | IndexEntry | CodebookEntry


@dataclass(frozen=True)
class Manifest:
    """One generation of the store."""

    generation: int
    parent: int | None
    encoder: EncoderInfo
    encoding: str
    roots: tuple[str, ...]
    next_document_id: int
    next_passage_id: int
    blocks: tuple[BlockEntry, ...]
    catalogues: tuple[CatalogueEntry, ...]
    indexes: tuple[IndexEntry, ...] = ()
    vector_index: str = AUTO  # the user's choice: by size, none, or a factory string
    codebook: CodebookEntry | None = None
    compacted: bool = False  # nothing older may stay beside it, so that no file holds removed content

    @property
    def segments(self) -> tuple[Entry, ...]:
        """Every segment that this generation needs."""
        return (*self.blocks, *self.catalogues, *self.indexes, *([self.codebook] if self.codebook else []))

    @property
    def segment_names(self) -> frozenset[str]:
        """The names of these segments."""
        return frozenset(entry.segment for entry in self.segments)


def to_bytes(manifest: Manifest) -> bytes:
    """The bytes of a manifest: a header line with format and checksum, then canonical json."""
    content = asdict(manifest)
    content["encoder"]["about"] = dict(manifest.encoder.about)
    content["features"] = []
    body = to_json(content).encode("utf-8")
    return b"deformer-qa-store %d %s\n" % (FORMAT, _checksum(FORMAT, body).encode()) + body


def from_bytes(name: str, content: bytes) -> Manifest:
    """Read a manifest from its bytes; ``name`` is that of its file.

    :raises StoreDamaged: if any bit differs from what was committed, or the content is invalid.
    :raises StoreFormat: if the bytes are undamaged but have a format or features that this version does not read.
    """
    header = _HEADER.match(content)
    if header is None:
        raise StoreDamaged(name, "the header line is not that of a manifest")
    format_found, body = int(header[1]), content[header.end() :]
    if _checksum(format_found, body) != header[2].decode():
        raise StoreDamaged(name, "the checksum does not match the content")
    if not OLDEST_READABLE_FORMAT <= format_found <= FORMAT:
        raise StoreFormat(name, *_format_advice(format_found))
    try:
        fields = json.loads(body)
        unknown = sorted(set(fields["features"]) - KNOWN_FEATURES)
        if unknown:
            found = f"the features {', '.join(map(str, unknown))}"
            raise StoreFormat(name, found, "only features that this version knows", "Upgrade deformer-qa.")
        to_json([fields["encoder"], fields["roots"]]).encode("utf-8")  # JSON can hold lone surrogates
        manifest = _from_fields(fields)
        _check(manifest, names.manifest_generation(name))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidRecord) as error:
        raise StoreDamaged(name, f"the content is not that of a manifest ({error})") from error
    return manifest


def _checksum(format_number: int, body: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(b"deformer-qa-store %d\n" % format_number + body)


def _format_advice(found: int) -> tuple[str, str, str]:
    known = (OLDEST_READABLE_FORMAT, FORMAT)
    expected = f"format {FORMAT}" if known == (FORMAT, FORMAT) else f"format {known[0]} to {known[1]}"
    advice = "Upgrade deformer-qa to read it." if found > FORMAT else "Build the store again with this version."
    return f"format {found}", expected, advice


def _from_fields(fields: dict[str, Any]) -> Manifest:
    return Manifest(
        generation=fields["generation"],
        parent=fields["parent"],
        encoder=EncoderInfo(**fields["encoder"]),
        encoding=fields["encoding"],
        roots=tuple(fields["roots"]),
        next_document_id=fields["next_document_id"],
        next_passage_id=fields["next_passage_id"],
        blocks=tuple(
            BlockEntry(**{**entry, "dead_rows": tuple(entry["dead_rows"]), "files": _files(entry["files"])})
            for entry in fields["blocks"]
        ),
        catalogues=tuple(
            CatalogueEntry(
                **{**entry, "deleted_documents": tuple(entry["deleted_documents"]), "files": _files(entry["files"])}
            )
            for entry in fields["catalogues"]
        ),
        indexes=tuple(
            IndexEntry(
                **{
                    **entry,
                    "covers": tuple(CoveredBlock(**block) for block in entry["covers"]),
                    "files": _files(entry["files"]),
                }
            )
            for entry in fields["indexes"]
        ),
        vector_index=fields["vector_index"],
        codebook=_codebook_entry(fields["codebook"]) if fields["codebook"] is not None else None,
        compacted=fields["compacted"],
    )


def _codebook_entry(fields: dict[str, Any]) -> CodebookEntry:
    return CodebookEntry(**{**fields, "files": _files(fields["files"])})


def _files(fields: dict[str, Any]) -> dict[str, FileSum]:
    return {name: FileSum(**file_sum) for name, file_sum in fields.items()}


def _check(manifest: Manifest, generation: int | None) -> None:
    """Reject, by ValueError, a manifest whose parts contradict each other or would lead out of the store."""
    encoder = manifest.encoder
    _require_integers(manifest.generation, manifest.parent or 0, manifest.next_document_id, manifest.next_passage_id)
    _require_integers(encoder.vector_width, encoder.hidden_width)
    _require(manifest.generation == generation, "its generation is not that of its name")
    _require(manifest.parent is None or 0 < manifest.parent < manifest.generation, "its parent is not before it")
    _require(type(manifest.compacted) is bool, "whether it was compacted is not said")
    _require(manifest.parent is None or not manifest.compacted, "it was compacted and has a parent")
    _require(isinstance(encoder.encoder_id, str) and isinstance(encoder.about, dict), "its encoder is not described")
    _require(0 < encoder.vector_width < 1 << 20 and 0 < encoder.hidden_width < 1 << 20, "its widths are out of range")
    _require(manifest.encoding in ENCODING_NAMES, f"its encoding {manifest.encoding!r} is unknown")
    encoding_named(manifest.encoding).widths(encoder.hidden_width)
    _require(all(isinstance(root, str) for root in manifest.roots), "its roots are no paths")
    for next_id in (manifest.next_document_id, manifest.next_passage_id):
        _require(0 < next_id < 1 << 62, "its next ids are out of range")
    _require(len(manifest.segment_names) == len(manifest.segments), "a segment is named twice")
    for block in manifest.blocks:
        has_scales = encoding_named(manifest.encoding).has_scales
        _check_files(block, manifest.generation, names.BLOCK_FILES | ({names.SCALES} if has_scales else set()))
        _check_block(block)
    for catalogue in manifest.catalogues:
        _check_files(catalogue, manifest.generation, names.CATALOGUE_FILES)
        _check_catalogue(catalogue, manifest.next_document_id)
    check_choice(manifest.vector_index)
    for index in manifest.indexes:
        _check_index(index, manifest)
    needs_codebook = manifest.encoding in VALUES_PER_CODE
    _require((manifest.codebook is not None) == needs_codebook, "its codebook does not go with its encoding")
    if manifest.codebook is not None:
        _check_files(manifest.codebook, manifest.generation, names.CODEBOOK_FILES)


def _check_files(entry: Entry, generation: int, expected: frozenset[str]) -> None:
    first_generation = names.segment_generation(entry.segment)
    _require(first_generation is not None and first_generation <= generation, "a segment's name is out of order")
    _require(entry.files.keys() == expected, f"the files of {entry.segment} are not {', '.join(sorted(expected))}")
    for file_sum in entry.files.values():
        _require_integers(file_sum.n_bytes)
        _require(file_sum.n_bytes >= 0 and _HASH.fullmatch(file_sum.xxh3_128) is not None, "a file's sum is not one")


def _check_block(block: BlockEntry) -> None:
    _require_integers(block.n_rows, block.n_tokens, *block.dead_rows)
    _require(0 < block.n_rows < 1 << 32 and 0 < block.n_tokens < 1 << 40, "a block's shape is out of range")
    _require(ranges.are_valid(block.dead_rows, block.n_rows), "a block's dead rows are out of range")


def _check_catalogue(catalogue: CatalogueEntry, next_document_id: int) -> None:
    counts = (catalogue.n_documents, catalogue.n_passages, catalogue.n_live_documents, catalogue.n_live_passages)
    sizes = (catalogue.n_words, catalogue.n_postings, catalogue.n_terms)
    _require_integers(*counts, *sizes, catalogue.n_live_terms, *catalogue.deleted_documents)
    _require(ranges.are_valid(catalogue.deleted_documents, next_document_id), "deleted documents are out of range")
    _require(0 <= catalogue.n_live_documents <= catalogue.n_documents, "a catalogue's documents do not add up")
    _require(0 <= catalogue.n_live_passages <= catalogue.n_passages < 1 << 32, "a catalogue's passages do not add up")
    _require(0 <= catalogue.n_live_terms <= catalogue.n_terms < 1 << 60, "a catalogue's words do not add up")
    _require(0 <= catalogue.n_words <= catalogue.n_postings <= catalogue.n_terms, "a catalogue's words do not add up")


def _check_index(index: IndexEntry, manifest: Manifest) -> None:
    factory = parsed(index.factory)
    graph = {names.CENTROID_GRAPH} if factory.n_links else set()
    _check_files(index, manifest.generation, names.INDEX_FILES | graph)
    if graph:  # it is read into memory
        most = 4096 + factory.n_lists * (4 * manifest.encoder.vector_width + 16 * factory.n_links + 256)
        _require(index.files[names.CENTROID_GRAPH].n_bytes <= most, "the graph over its centroids is too large")
    _require_integers(index.n_probes, *(block.n_rows for block in index.covers))
    _require(0 < index.n_probes <= factory.n_lists, "a vector index's lists do not add up")
    _require(all(0 < block.n_rows < 1 << 32 for block in index.covers), "a vector index's blocks are out of range")
    _require(0 < index.n_rows < 1 << 32, "a vector index's rows are out of range")
    there = {block.segment: block.n_rows for block in manifest.blocks}
    covered = [block.segment for index in manifest.indexes for block in index.covers]
    _require(len(set(covered)) == len(covered), "a block is covered twice")
    for block in index.covers:
        _require(names.segment_generation(block.segment) is not None, "a covered block's name is no segment's")
        _require(there.get(block.segment, block.n_rows) == block.n_rows, "a covered block has other rows")


def _require_integers(*numbers: object) -> None:
    _require(all(type(number) is int for number in numbers), "a number is not an integer")


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
