"""Where does each row of a batch of states stand? What attention may have to know beside the states themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

CLASSIFICATION_SEGMENT = 2
"""Of classification tokens that stand behind their text: they belong to neither (as XLNet's token types have it)."""


class TextRows(NamedTuple):
    """The rows of one text in each item of a batch: the classification token's first, then the others in order.

    :ivar mask: *Shape:* (batch, rows), bool, true at tokens, padding last; None where there is no padding
    """

    n_rows: int
    mask: Tensor | None = None


@dataclass(frozen=True)
class Placement:
    """Rows that see one another, with their distances; the same for every family.

    :ivar mask: *Shape:* (batch, rows), bool, true at tokens; None where there is no padding
    :ivar positions: *Shape:* (batch or 1, rows), int64, from 0 and below the number of rows: where each is read. Only
        the differences between tokens mean anything, and padding between two texts is no part of them.
    :ivar segments: *Shape:* (batch or 1, rows), int64; equal numbers are parts of the same text
    """

    mask: Tensor | None
    positions: Tensor
    segments: Tensor

    @classmethod
    def of_texts(cls, texts: Sequence[TextRows], device: torch.device, *, classification_last: bool) -> Placement:
        """Texts that were encoded apart, read one after the other.

        :param classification_last: row 0 of each text stands behind its others, in a segment of its own.
        """
        n_items = next((mask.shape[0] for _, mask in texts if mask is not None), 1)
        positions, segments = [], []
        before: int | Tensor = 0  # tokens of the texts before; *Shape:* (batch, 1) where they differ
        for number, (n_rows, mask) in enumerate(texts):
            length = n_rows if mask is None else mask.sum(1, keepdim=True)
            rows = torch.arange(n_rows, device=device)[None]
            segment = torch.full((1, n_rows), number, device=device)
            if classification_last:
                rows = torch.where(rows == 0, length, rows) - 1
                segment[:, 0] = CLASSIFICATION_SEGMENT
            positions.append(rows + before)
            segments.append(segment)
            before = before + length
        n_kinds = max(len(one) for one in positions)  # of items that are of one length all stand alike
        mask = None
        if any(one.mask is not None for one in texts):
            whole = (torch.ones(n_items, n_rows, dtype=torch.bool, device=device) for n_rows, _ in texts)
            mask = torch.cat(
                [ones if one.mask is None else one.mask for one, ones in zip(texts, whole, strict=True)], 1
            )
        return cls(mask, torch.cat([one.expand(n_kinds, -1) for one in positions], 1), torch.cat(segments, 1))

    @classmethod
    def of_sequence(cls, mask: Tensor, segments: Tensor) -> Placement:
        """Rows in the order in which they are read, padding before or behind them all.

        :param mask: *Shape:* (batch, rows), bool, true at tokens.
        :param segments: *Shape:* as ``mask``, int64.
        """
        return cls(mask, torch.arange(mask.shape[1], device=mask.device)[None], segments)
