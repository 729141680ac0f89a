"""Positions and segments of the rows of a batch of states, which attention may need besides the states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from deformer_qa.reader.families.xlnet import CLASSIFICATION_SEGMENT


class TextRows(NamedTuple):
    """The rows of one text in each item of a batch: the classification token's first, then the others in order.

    :ivar mask: *Shape:* (batch, rows), bool, true at tokens, padding last; None without padding
    """

    n_rows: int
    mask: Tensor | None = None


@dataclass(frozen=True)
class Placement:
    """Rows that see one another, with their distances; the same for every family.

    :ivar mask: *Shape:* (batch, rows), bool, true at tokens; None without padding
    :ivar positions: *Shape:* (batch or 1, rows), int64, from 0 and below the number of rows: the position of each.
        Only differences between tokens have meaning, and padding between two texts does not count in them.
    :ivar segments: *Shape:* (batch or 1, rows), int64; equal numbers are parts of the same text
    """

    mask: Tensor | None
    positions: Tensor
    segments: Tensor

    @classmethod
    def of_texts(cls, texts: Sequence[TextRows], device: torch.device, *, classification_last: bool) -> Placement:
        """The placement of texts encoded apart and read one after the other.

        :param classification_last: row 0 of each text stands after its other rows, in a segment of its own.
        """
        n_items = next((mask.shape[0] for _, mask in texts if mask is not None), 1)
        positions, segments = [], []
        before: int | Tensor = 0  # tokens of previous texts; *Shape:* (batch, 1) if they differ
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
        n_kinds = max(len(one) for one in positions)  # items of equal length have equal positions
        mask = None
        if any(one.mask is not None for one in texts):
            whole = (torch.ones(n_items, n_rows, dtype=torch.bool, device=device) for n_rows, _ in texts)
            mask = torch.cat(
                [ones if one.mask is None else one.mask for one, ones in zip(texts, whole, strict=True)], 1
            )
        return cls(mask, torch.cat([one.expand(n_kinds, -1) for one in positions], 1), torch.cat(segments, 1))

    @classmethod
    def of_sequence(cls, mask: Tensor, segments: Tensor) -> Placement:
        """The placement of rows in reading order, with padding before or after all of them.

        :param mask: *Shape:* (batch, rows), bool, true at tokens.
        :param segments: *Shape:* as ``mask``, int64.
        """
        return cls(mask, torch.arange(mask.shape[1], device=mask.device)[None], segments)
