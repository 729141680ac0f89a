"""How the vector indexes of a generation are brought up to date: the last step of merging and compacting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deformer_qa.store.block import Block, BlockFiles
from deformer_qa.store.committing import require_room
from deformer_qa.store.index_planning import plan
from deformer_qa.store.manifest import BlockEntry, IndexEntry
from deformer_qa.store.records import EncoderInfo
from deformer_qa.store.vector_index_writing import write_index


def renewed_indexes(
    store: Path,
    new_segment: Callable[[], str],
    encoder: EncoderInfo,
    encoding: str,
    blocks: Sequence[BlockEntry],
    indexes: Sequence[IndexEntry],
    choice: str,
) -> list[IndexEntry]:
    """The indexes that a generation with these blocks is to have; what it lacks is written and synced, not committed.

    The blocks may be committed or just written.

    :raises StoreFull: where there is no room for a new one.
    """
    planned = plan(indexes, blocks, choice)
    if planned.factory is None:
        return list(planned.kept)
    n_rows = sum(block.n_rows for block in planned.blocks)
    require_room(store, (n_rows + 4 * planned.factory.n_lists) * (encoder.vector_width + 8))
    covered = [Block(entry, BlockFiles(store, entry, encoder, encoding)) for entry in planned.blocks]
    return [*planned.kept, write_index(store, new_segment(), covered, planned.factory)]
