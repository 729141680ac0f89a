"""Find the passages that retrieval would return for a question; training needs those without the answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deformer_qa.lab.train.batches import padded
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.networks.backbone import pooled

_TEXTS_PER_BATCH = 48
_QUESTIONS_AT_ONCE = 1_024


def nearest_passages(
    encoder: Encoder, questions: Sequence[tuple[int, ...]], passages: Sequence[tuple[int, ...]], n: int
) -> list[list[int]]:
    """Return the rows of the ``n`` passages nearest to each question by inner product, best first.

    :param questions, passages: token ids.
    """
    asked, read = _vectors(encoder, questions), _vectors(encoder, passages)
    n = min(n, len(passages))
    parts = (asked[first : first + _QUESTIONS_AT_ONCE] for first in range(0, len(asked), _QUESTIONS_AT_ONCE))
    return [row for part in parts for row in (part @ read.T).topk(n).indices.tolist()]


@torch.inference_mode()
def _vectors(encoder: Encoder, texts: Sequence[tuple[int, ...]]) -> Tensor:
    """Encode texts to vectors of length 1, *Shape:* (texts, hidden), float32; bf16 is precise enough for neighbours."""
    backbone, device = encoder.backbone, encoder.device
    vectors = torch.empty(len(texts), backbone.shape.hidden_width)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for first in range(0, len(order), _TEXTS_PER_BATCH):
        batch = order[first : first + _TEXTS_PER_BATCH]
        ids, mask = (one.to(device) for one in padded([texts[index] for index in batch], step=16))
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            states = backbone.embed(ids)
            states = backbone.run(states, backbone.alone(states, mask), 0, backbone.shape.n_layers).float()
        vectors[batch] = F.normalize(pooled(states, mask, encoder.pooling), dim=1).cpu()
    return vectors
