"""Pad token ids of several texts to one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def padded(texts: Sequence[Sequence[int]], step: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask, *Shape:* (texts, tokens), int64 and bool, true at tokens.

    :param step: the width is a multiple of it. CPU kernels are compiled for each shape, so few shapes save time.
    """
    width = -(-max(map(len, texts)) // step) * step
    ids = torch.zeros(len(texts), width, dtype=torch.int64)
    mask = torch.zeros(len(texts), width, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = True
    return ids, mask
