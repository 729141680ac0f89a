"""``qa train codebook``: the codebook by which stores keep a reader's states small."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import message, print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deformer_qa.reader.encoder import Encoder

_SEED = 0
_TOKENS = 131_072


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="A SQuAD file whose paragraphs are encoded, those of articles held back in training left out.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="A reader made by qa train reader; the codebook goes into its folder.",
)
@click.option(
    "--encoding",
    type=click.Choice(["pq4", "pq6"]),
    default="pq4",
    show_default=True,
    help="One byte for four values of a state, or for six.",
)
def codebook(data: Path, reader_folder: Path, encoding: str) -> int:
    """Fit a codebook on the encoder's states; new stores of this reader are then kept by it.

    Before qa train ranking, which asks a store.
    """
    from deformer_qa.reader.checkpoint import encoder_of
    from deformer_qa.reader.codebook import read_codebook, write_codebook
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.store.codebook import Codebook, fit_codebook

    about = describe_reader(reader_folder)
    if about.k == 0:
        raise click.UsageError(f"{reader_folder}: runs no layers apart, no states of it are stored.")
    encoder = encoder_of(about)
    states = states_of_paragraphs(data, encoder, set(about.training.get("held_back_articles", ())))
    fitted = fit_codebook(states, encoding)
    write_codebook(reader_folder, dict(zip(("mean", "rotation", "centroids"), fitted.arrays, strict=True)))
    kept = read_codebook(reader_folder)
    assert kept is not None
    book = Codebook(**kept)
    print_json(
        {
            "schema": 1,
            "encoding": encoding,
            "tokens": len(states),
            "bytes_per_token": len(fitted.centroids),
            "lost_variance": lost_variance(states, book.states(book.codes(states))),
        }
    )
    return exit_codes.OK


def states_of_paragraphs(data: Path, encoder: Encoder, held_back: set[str]) -> NDArray[np.float32]:
    """States of paragraphs below their titles, drawn by a fixed seed, at least 131,072 tokens where there are so many.

    *Shape:* (tokens, hidden), float32.
    """
    import numpy as np

    from deformer_qa.reader.lead import with_lead
    from deformer_qa.reader.squad import read_squad

    titles = {one.context: one.title for one in read_squad(data).paragraphs if one.article not in held_back}
    contexts = list(titles)
    random.Random(_SEED).shuffle(contexts)
    found: list[NDArray[np.float32]] = []
    n_tokens = 0
    message(f"qa: encoding paragraphs of {data}")
    for context in contexts:
        lead = encoder.lead(titles[context], "")
        for span in encoder.borders.split(context, encoder.tokenizer):
            found.append(encoder.states(with_lead(lead, context[span.start : span.end]), "passage"))
            n_tokens += len(found[-1])
        if n_tokens >= _TOKENS:
            break
    return np.concatenate(found) if found else np.empty((0, encoder.hidden_width), np.float32)


def lost_variance(states: NDArray[np.float32], decoded: NDArray[np.float32]) -> float:
    """The share of the states' variance that what came back does not have."""
    lost = ((states - decoded) ** 2).sum(dtype="f8")
    return float(lost / ((states - states.mean(axis=0)) ** 2).sum(dtype="f8"))
