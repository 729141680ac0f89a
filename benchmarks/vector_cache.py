"""Cache vectors of texts in an SQLite file, so that a benchmark encodes each text once, even if it is interrupted."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.encoder import Encoder


class VectorCache:
    """An encoder's vectors of texts; several processes may fill one file."""

    def __init__(self, file: Path, encoder: Encoder) -> None:
        self._encoder = encoder
        self._connection = sqlite3.connect(file, timeout=60, isolation_level=None)
        self._connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors, encoding missing texts. *Shape:* (texts, hidden), float32."""
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> NDArray[np.float32]:
        key = hashlib.blake2b(f"{self._encoder.encoder_id}\n{text}".encode(), digest_size=16).digest()
        for (found,) in self._connection.execute("SELECT vector FROM vectors WHERE key = ?", (key,)):
            return np.frombuffer(found, np.float32)
        vector = self._encoder.encode(text).vector
        self._connection.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?)", (key, vector.tobytes()))
        return vector
