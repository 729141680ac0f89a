"""Writes BERT's layers into a graph, for one sequence at a time: no padding, no mask, no batch."""

from __future__ import annotations

import numpy as np

from deformer_qa.reader.engines.graph import Graph
from deformer_qa.reader.engines.numpy_engine import first_position, has_projection

Rows = tuple[str, str]
"""Names of the first row and of the end."""


class BertLayers:
    """The layers of BERT, as ``numpy_engine.NumpyLayers``; other families override the differences."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shape = graph, graph.shape

    def in_order(self, rows: str) -> str:
        """The rows of a text, or its ids, in the order in which the layers read them."""
        return rows

    def as_stored(self, rows: str) -> str:
        """The rows of a text with that of its classification token first."""
        return rows

    def embed(self, ids: str) -> str:
        """Layer-0 states."""
        graph, shape = self.graph, self.shape
        states = graph.add("Gather", [graph.weight("embeddings.words.weight"), ids], axis=0)
        if shape.n_token_types:
            states = graph.add("Add", [states, graph.constant(graph.weights["embeddings.token_types.weight"][0])])
        first = graph.constant([first_position(shape)])
        end = graph.add("Add", [graph.n_rows(ids), first])
        states = graph.add("Add", [states, graph.some(graph.weight("embeddings.positions.weight"), (first, end))])
        states = graph.norm(states, "embeddings.norm")
        return graph.linear(states, "embeddings.project") if has_projection(shape) else states

    def layer(self, states: str, prefix: str, rows: Rows | None = None) -> str:
        """One layer.

        :param prefix: of the names of its weights.
        :param rows: those to compute; the others serve only as keys and values. None computes all.
        """
        graph = self.graph
        mixed = graph.add("Transpose", [self.mixture(states, prefix, rows)], perm=[1, 0, 2])
        mixed = graph.add("Reshape", [mixed, graph.constant([-1, self.shape.hidden_width])])
        states = states if rows is None else graph.some(states, rows)
        attended = graph.add("Add", [states, graph.linear(mixed, f"{prefix}attention_out")])
        attended = graph.norm(attended, f"{prefix}attention_norm")
        widened = graph.gelu(graph.linear(attended, f"{prefix}feed_in"))
        widened = graph.add("Add", [attended, graph.linear(widened, f"{prefix}feed_out")])
        return graph.norm(widened, f"{prefix}feed_norm")

    def mixture(self, states: str, prefix: str, rows: Rows | None) -> str:
        """The values as the attention mixes them, *Shape:* (heads, rows, head width)."""
        query, key, value = self.query_key_value(states, prefix, rows)
        return self.mixed(self.graph.add("MatMul", [query, key]), value)

    def mixed(self, scores: str, value: str) -> str:
        """Values of *Shape:* (heads, keys, head width) weighed by the softmax of scores."""
        return str(self.graph.add("MatMul", [self.graph.add("Softmax", [scores], axis=-1), value]))

    def query_key_value(self, states: str, prefix: str, rows: Rows | None) -> tuple[str, str, str]:
        """Query, key and value of a layer by head; the query is scaled, the key is transposed.

        *Shape:* (heads, rows, head width), (heads, head width, tokens), (heads, tokens, head width).
        """
        graph, width, name = self.graph, self.shape.hidden_width, f"{prefix}qkv"
        if rows is None:
            query, key, value = self._split(graph.linear(states, name), 3)
        else:
            key, value = self._split(graph.linear(states, name, rows=slice(width, 3 * width)), 2)
            query = graph.linear(graph.some(states, rows), name, rows=slice(width))
        query = graph.add("Mul", [self._heads(query), graph.constant(np.array(self.scale))])
        return query, self._heads(key, transposed=True), self._heads(value)

    @property
    def scale(self) -> np.float32:
        """The factor on queries."""
        return np.float32((self.shape.hidden_width // self.shape.n_heads) ** -0.5)

    def _split(self, states: str, n_parts: int) -> list[str]:
        widths = self.graph.constant([self.shape.hidden_width] * n_parts)
        return list(self.graph.add("Split", [states, widths], n_outputs=n_parts, axis=1))

    def _heads(self, states: str, *, transposed: bool = False) -> str:
        """(tokens, hidden) to (heads, tokens, head width), or to (heads, head width, tokens)."""
        n_heads, width = self.shape.n_heads, self.shape.hidden_width
        apart = self.graph.add("Reshape", [states, self.graph.constant([-1, n_heads, width // n_heads])])
        return str(self.graph.add("Transpose", [apart], perm=[1, 2, 0] if transposed else [1, 0, 2]))
