"""``qa verify``: check the store for damage, compare rows with the encoder, and repair damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, emit, format_option, message

if TYPE_CHECKING:
    from deformer_qa.store import Damage, LoadEncoder, Recomputed, Repair, RowEncoder

SHOWN_PASSAGES = 10


@click.command(name="verify")
@store_option
@click.option(
    "--recompute",
    "n_rows",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also encode the texts of N random stored rows again, and compare.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed of --recompute.")
@click.option("--repair", "repairs", is_flag=True, help="Repair a damaged store, as a new generation.")
@click.option(
    "--encoder",
    metavar="DIR|NAME",
    help="A sentence-transformers folder or hub id, where the store was built with it. Default: the reader's own.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    envvar="QA_READER",
    metavar="DIR",
    help="The reader whose encoder made the store. Default: the one shipped.",
)
@format_option
def verify_store(
    store: Path | None,
    n_rows: int | None,
    seed: int,
    repairs: bool,
    encoder: str | None,
    reader_folder: Path | None,
    form: str,
) -> int:
    """Read every byte of the store and compare it with its checksum. Exit code 1 means damage; each file is named.

    With --repair, derived files are written anew, lost rows are encoded again from their texts, and lost documents
    leave the index and are named: run "qa index" afterwards, which reads their files again. Exit code 1 then means that
    something cannot be repaired. An undamaged store stays as it is.
    """
    from deformer_qa.store import open_snapshot, recompute, repair, verify

    folder = located(store)
    load = _encoder_of(encoder, reader_folder)
    report: dict[str, Any] = {}
    if repairs:
        done = repair(folder, load)
        damages = list(done.unrepaired)
        report |= _repair_report(done)
    else:
        done = None
        damages = verify(folder)
        report |= {"healthy": not damages, "damaged": [asdict(one) for one in damages]}
    compared = None
    if n_rows is not None and not damages:
        with open_snapshot(folder) as snapshot:
            compared = recompute(snapshot, load, n_rows, seed)
        report["recomputed"] = asdict(compared)
        report["healthy"] = not compared.wrong
    emit(form, report, _rows(damages, done, compared))
    if n_rows is not None and damages:
        message("qa: --recompute was skipped, because the store is damaged.")
    if compared is not None and compared.wrong:
        message("qa: stored rows do not match their texts, although every checksum is right: build the index again.")
    if done is not None and done.n_dropped:
        message(f'qa: {done.n_dropped:,} documents left the index. Run "qa index" to read their files again.')
    return ExitCode.NEGATIVE if damages or (compared and compared.wrong) else ExitCode.OK


def _encoder_of(encoder: str | None, reader_folder: Path | None) -> LoadEncoder:
    """A function that loads the encoder when it is needed."""

    def load() -> RowEncoder:
        from deformer_qa.indexer.encoding import codebook_of, encoder_info
        from deformer_qa.reader.checkpoint import encoder_of
        from deformer_qa.reader.description import describe_reader
        from deformer_qa.reader.encoder import Encoder
        from deformer_qa.reader.shipped import SHIPPED
        from deformer_qa.store import RowEncoder

        about = describe_reader(reader_folder or SHIPPED)
        loaded = Encoder.load(encoder, k=about.k) if encoder else encoder_of(about)

        def encode(text: str) -> tuple[Any, Any]:
            encoded = loaded.encode(text)
            return encoded.vector, encoded.states

        return RowEncoder(encoder_info(loaded), encode, codebook_of(loaded))

    return load


def _repair_report(done: Repair) -> dict[str, Any]:
    return {
        "healthy": not done.unrepaired,
        "generation": done.generation,
        "mended": [asdict(one) for one in done.mended],
        "rows_kept": done.n_rows_kept,
        "rows_encoded_again": len(done.reencoded),
        "passages_encoded_again": list(done.reencoded),
        "documents_dropped": done.n_dropped,
        "dropped": [asdict(one) for one in done.dropped],
        "unrepaired": [asdict(one) for one in done.unrepaired],
    }


def _rows(damages: list[Damage], done: Repair | None, compared: Recomputed | None) -> Iterator[tuple[object, ...]]:
    for one in damages:
        yield *([] if done is None else ["cannot be repaired"]), one.file, one.problem
    if done is not None:
        yield from _repair_rows(done)
    if not damages and not (compared and compared.wrong):
        yield ("healthy",)
    if compared is not None:
        yield from _recomputed_rows(compared)


def _repair_rows(done: Repair) -> Iterator[tuple[object, ...]]:
    for mended in done.mended:
        yield "repaired", mended.file, mended.problem, mended.action
    for dropped in done.dropped:
        where = f"{dropped.root}/{dropped.path}" if dropped.root is not None else "of unknown path"
        yield "dropped", f"document {dropped.id}", where, dropped.reason
    if done.n_dropped_unknown:
        yield "dropped", f"{done.n_dropped_unknown:,} documents", "of unknown path", "nothing is left of them"
    if done.mended:
        yield "rows kept", f"{done.n_rows_kept:,}"
        yield "rows encoded again", f"{len(done.reencoded):,}", _some(done.reencoded)
        yield "documents dropped", f"{done.n_dropped:,}"
    if done.generation is not None:
        yield "generation", done.generation


def _recomputed_rows(compared: Recomputed) -> Iterator[tuple[object, ...]]:
    yield "rows compared", f"{compared.n_rows:,}"
    for name, largest, mean in (
        ("error of states", compared.largest_state_error, compared.mean_state_error),
        ("error beyond the encoding's", compared.largest_recoded_error, compared.mean_recoded_error),
        ("error of vectors", compared.largest_vector_error, compared.mean_vector_error),
    ):
        yield name, f"largest {largest:.3g}", f"mean {mean:.3g}"
    yield "rows coded otherwise now", f"{compared.n_other_codes:,}"
    yield "rows that are wrong", f"{len(compared.wrong):,}", _some(compared.wrong)


def _some(passages: tuple[int, ...]) -> str:
    """The first of some passages, by id."""
    if not passages:
        return ""
    more = ", ..." if len(passages) > SHOWN_PASSAGES else ""
    return f"passages {', '.join(map(str, passages[:SHOWN_PASSAGES]))}{more}"
