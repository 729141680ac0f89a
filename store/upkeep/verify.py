"""Verifies a store: reads every committed byte, and on demand encodes a sample of passages again.

Stored states differ from newly computed ones by the encoding's own loss and by the encoder's float noise. The loss is
known: encode the new states and decode them. So a row is right if, token by token, the stored states are as near to the
new ones as the encoding comes, up to ``NOISE``. Why this is the bound: every encoding takes (one of) the nearest codes.
Let s be the new states, s + d the states when stored, and c(s) the nearest code. Then
``|c(s+d) - s| <= |c(s+d) - (s+d)| + |d| <= |c(s) - (s+d)| + |d| <= |c(s) - s| + 2|d|``: no constant of an encoding
is needed, except for the rounding of a scale. For int8 the loss is at most half a scale per value, for fp16
2**-11 of it; vectors are stored exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names, opening
from deformer_qa.store.disk import FileSum, hash_descriptor
from deformer_qa.store.encodings import Codebook, EncodedStates, Encoding
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.generations import Head, list_generations, read_manifest
from deformer_qa.store.manifest import Manifest
from deformer_qa.store.records import Damage, EncoderInfo
from deformer_qa.store.segments.block import Block
from deformer_qa.store.segments.folder import open_segment_file
from deformer_qa.store.snapshot import Snapshot


def verify(path: Path) -> list[Damage]:
    """Every damaged file of the head and parent generations, including manifests; an empty list is a healthy store.

    Leftovers of an interrupted commit and the lock file do not count as damage.

    :raises StoreMissing, StoreAccess, StoreFormat: if there is nothing to verify.
    """
    path = Path(path)
    while True:
        generations = list_generations(path)
        damages = _verify_once(path, generations)
        if not damages or list_generations(path) == generations:  # else a writer may have collected the missing files
            return damages


def check_file(store: Path, segment: str, file: str, expected: FileSum) -> None:
    """Read every byte of a file and compare.

    :raises StoreDamaged: naming the file, if it differs from what was committed.
    """
    fd = open_segment_file(store, segment, file, expected)
    try:
        found = hash_descriptor(fd)
    except OSError as error:
        raise StoreDamaged(names.segment_file(segment, file), f"cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)
    if found != expected:
        raise StoreDamaged(names.segment_file(segment, file), "the checksum does not match the content")


def _verify_once(store: Path, generations: list[int]) -> list[Damage]:
    manifests, damages = _kept_manifests(store, generations)
    checked: set[tuple[str, str, FileSum]] = set()
    for manifest in manifests:
        for entry in manifest.segments:
            for file, expected in entry.files.items():
                if (entry.segment, file, expected) in checked:
                    continue
                checked.add((entry.segment, file, expected))
                try:
                    check_file(store, entry.segment, file, expected)
                except StoreDamaged as error:
                    damages.append(Damage(error.file, error.problem))
    return damages


def _kept_manifests(store: Path, generations: list[int]) -> tuple[list[Manifest], list[Damage]]:
    """The undamaged manifests among head and parent, and the damage of the others."""
    manifests: list[Manifest] = []
    damages: list[Damage] = []
    set_aside = [names.quarantined_generation(name) or 0 for name in os.listdir(store)]
    for generation in generations:
        if manifests and generation != manifests[0].parent:
            continue  # older ones, about to be collected
        try:
            manifests.append(read_manifest(store, generation))
        except (StoreDamaged, FileNotFoundError) as error:
            problem = error.problem if isinstance(error, StoreDamaged) else "expected a manifest, found no file"
            damages.append(Damage(names.manifest_name(generation), problem))
    head = manifests[0] if manifests else None
    if head is not None and head.parent is not None and head.parent not in generations:
        stands_in = damages or max(set_aside, default=0) > head.generation  # its parent was collected regularly
        if not stands_in:
            damages.append(Damage(names.manifest_name(head.parent), "expected a manifest, found no file"))
    return manifests, damages


NOISE = 1e-4  # of a token's or vector's norm: float32 differences between threads, processors and kernels (2|d| above)

Row = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class RowEncoder:
    """An encoder as the store sees it.

    :ivar encode: gives the vector (vector_width,) and the states (n_tokens, hidden_width) of an encoder input, float32
    :ivar codebook: the one for new stores of this encoder; the store's own may be the same
    """

    info: EncoderInfo
    encode: Callable[[str], Row]
    codebook: Codebook | None = None


LoadEncoder = Callable[[], RowEncoder]


@dataclass(frozen=True)
class RowErrors:
    """The differences of a stored row from a newly computed one.

    :ivar states: *Shape* (n_tokens, hidden_width): absolute differences of stored and new states
    :ivar recoded: the same, to the new states encoded and decoded: the effect of the encoder's noise
    :ivar vector: *Shape* (vector_width,)
    :ivar same_code: whether the new states would be stored as the same bytes
    :ivar is_right: whether the encoding and ``NOISE`` explain the difference
    """

    states: NDArray[np.float32]
    recoded: NDArray[np.float32]
    vector: NDArray[np.float32]
    same_code: bool
    is_right: bool


@dataclass(frozen=True)
class Recomputed:
    """The result of encoding a sample again; errors are absolute.

    :ivar n_rows: rows compared
    :ivar largest_state_error: of a stored value against the exact one, including the encoding's loss
    :ivar largest_recoded_error: of a stored value against the exact one encoded and decoded: noise alone
    :ivar n_other_codes: rows whose encoded states differ in a byte
    :ivar wrong: a passage of each row whose difference neither the encoding nor noise explains
    """

    n_rows: int
    largest_state_error: float
    mean_state_error: float
    largest_recoded_error: float
    mean_recoded_error: float
    largest_vector_error: float
    mean_vector_error: float
    n_other_codes: int
    wrong: tuple[int, ...]


def checked_encoder(path: Path, manifest: Manifest, load: LoadEncoder) -> RowEncoder:
    """Load the encoder and check that it is the store's.

    :raises EncoderMismatch: if the store was built with another.
    """
    encoder = load()
    opening.agreed_encoding(path, Head(manifest, (), None), encoder.info, None, None)
    return encoder


def compare_row(encoding: Encoding, vector: NDArray[np.float32], stored: EncodedStates, now: Row) -> RowErrors:
    """Compare a stored row with the one that its text gives now."""
    new_vector, states = (np.asarray(array, dtype="<f4") for array in now)
    decoded = encoding.decode(stored)
    if decoded.shape != states.shape:  # another tokenizer: nothing can be compared
        return RowErrors(np.abs(decoded), np.abs(decoded), np.abs(vector), False, False)
    code = encoding.encode(states)
    recoded = encoding.decode(code)
    errors, loss = np.abs(decoded - states), np.abs(recoded - states)
    noise = NOISE + float(np.finfo(encoding.scale_dtype).eps)
    allowed = np.linalg.norm(loss, axis=1) + noise * np.linalg.norm(states, axis=1)
    vector_errors = np.abs(vector - new_vector)
    same = code.values.tobytes() == stored.values.tobytes() and code.scales.tobytes() == stored.scales.tobytes()
    is_right = bool((np.linalg.norm(errors, axis=1) <= allowed).all()) and bool(
        np.linalg.norm(vector_errors) <= NOISE * np.linalg.norm(new_vector)
    )
    return RowErrors(errors, np.abs(decoded - recoded), vector_errors, same, is_right)


def recompute(snapshot: Snapshot, load_encoder: LoadEncoder, n_rows: int, seed: int = 0) -> Recomputed:
    """Encode the inputs of some live rows again and compare; all of them if there are fewer than ``n_rows``.

    The same seed draws the same rows of the same generation.

    :raises EncoderMismatch: if the store was built with another encoder.
    :raises StoreDamaged: if a row or a text differs from what was committed.
    """
    encoder = checked_encoder(snapshot.path, snapshot.manifest, load_encoder)
    encoding = snapshot.states_encoding()
    kinds = ("state", "recoded", "vector")
    largest, sums, counts = (dict.fromkeys(kinds, 0.0) for _ in range(3))
    n_compared = n_other_codes = 0
    wrong = []
    for block, row in _sample(snapshot, n_rows, seed):
        passage, whole = _passage_of(snapshot, block, row)
        found = compare_row(encoding, block.files.vector(row), block.files.encoded_states(row), encoder.encode(whole))
        for kind, errors in zip(kinds, (found.states, found.recoded, found.vector), strict=True):
            largest[kind] = max(largest[kind], float(errors.max()))
            sums[kind] += float(errors.sum(dtype=np.float64))
            counts[kind] += errors.size
        n_compared += 1
        n_other_codes += not found.same_code
        if not found.is_right:
            wrong.append(passage)
    mean = {kind: sums[kind] / max(counts[kind], 1) for kind in kinds}
    return Recomputed(
        n_rows=n_compared,
        largest_state_error=largest["state"],
        mean_state_error=mean["state"],
        largest_recoded_error=largest["recoded"],
        mean_recoded_error=mean["recoded"],
        largest_vector_error=largest["vector"],
        mean_vector_error=mean["vector"],
        n_other_codes=n_other_codes,
        wrong=tuple(wrong),
    )


def _sample(snapshot: Snapshot, n: int, seed: int) -> Iterator[tuple[Block, int]]:
    """Draw live rows without repetition, in order of their place."""
    blocks = snapshot.blocks
    n_live = [block.entry.n_live_rows for block in blocks]
    total = sum(n_live)
    drawn = np.sort(np.random.default_rng(seed).choice(total, min(n, total), replace=False, shuffle=False))
    first = 0
    for block, count in zip(blocks, n_live, strict=True):
        chosen = drawn[(drawn >= first) & (drawn < first + count)] - first
        if len(chosen):
            live = np.flatnonzero(block.are_live(np.arange(block.entry.n_rows)))
            yield from ((block, int(row)) for row in live[chosen])
        first += count


def _passage_of(snapshot: Snapshot, block: Block, row: int) -> tuple[int, str]:
    """A live passage of a row, and its encoder input."""
    key = block.files.key(row)
    for catalogue in snapshot.catalogues:
        for passage in catalogue.passages_with_keys([key]):
            return passage.id, snapshot.passage_inputs([passage.id])[0]
    raise StoreDamaged(
        names.segment_file(block.files.segment, names.KEYS), f"row {row} is live, but no passage has its key"
    )
