"""Writes XLNet's layers into a graph: attention by distance and segment, over rows in the order of the text.

Keys of distances depend only on the number of rows, and cost a seventh of a layer: the engine gives them, see
``relative_inputs``. A score of a query with all distances is moved to its place by reading the matrix in rows that are
one shorter (the relative shift of Dai et al. 2019). A softmax does not see what is the same for all keys, so a segment
counts only by what other segments get less: three more columns of query and key.
"""

from __future__ import annotations

from deformer_qa.reader.engines.bert_layers import BertLayers, Rows
from deformer_qa.reader.engines.graph import END
from deformer_qa.reader.engines.relative_inputs import DISTANCE_KEY, N_SEGMENTS, SEGMENTS


class XlnetLayers(BertLayers):
    """The layers of XLNet, as ``networks.xlnet.XlnetLayer``."""

    def in_order(self, rows: str) -> str:
        """The classification token, whose row comes first, stands last in a text."""
        return self._halves(rows, 1)

    def as_stored(self, rows: str) -> str:
        """The last row before the others."""
        return self._halves(rows, -1)

    def embed(self, ids: str) -> str:
        """Word embeddings."""
        return str(self.graph.add("Gather", [self.graph.weight("embeddings.words.weight"), ids], axis=0))

    def mixture(self, states: str, prefix: str, rows: Rows | None) -> str:
        """As ``BertLayers.mixture``."""
        graph, n_heads = self.graph, self.shape.n_heads
        query, key, value = self.query_key_value(states, prefix, rows)
        content, distance, segment = (
            graph.add("Add", [query, graph.constant(graph.weights[f"{prefix}{kind}_bias"][:, None] * self.scale)])
            for kind in ("content", "distance", "segment")
        )
        segments = graph.input(SEGMENTS, ["rows", N_SEGMENTS])
        same, other = graph.weights[f"{prefix}segment_key"]  # (heads, head width) each
        gain = graph.add("MatMul", [segment, graph.constant((same - other)[:, :, None])])  # (heads, rows, 1)
        gains = graph.add("Mul", [gain, segments if rows is None else graph.some(segments, rows)])
        of_keys = graph.add("Transpose", [segments], perm=[1, 0])
        shape = graph.add("Concat", [graph.constant([n_heads, N_SEGMENTS]), graph.n_rows(states)], axis=0)
        key = graph.add("Concat", [key, graph.add("Expand", [of_keys, shape])], axis=1)
        scores = graph.add("MatMul", [graph.add("Concat", [content, gains], axis=2), key])
        scores = graph.add("Add", [scores, self._by_distance(distance, states, prefix, rows)])
        return self.mixed(scores, value)

    def _by_distance(self, query: str, states: str, prefix: str, rows: Rows | None) -> str:
        """The scores of queries with the distances to all keys, *Shape:* (heads, rows, keys).

        Column c of the product is for the distance (end of the rows - c). Row i needs, for key j, the distance
        (first + i - j): the place i * (rows + keys - 1) + rows + j of the matrix written row after row.
        """
        graph, n_heads, width = self.graph, self.shape.n_heads, self.shape.hidden_width // self.shape.n_heads
        n_keys, zero = graph.n_rows(states), graph.constant([0])
        first, end = rows or (zero, n_keys)
        n_rows = graph.add("Sub", [end, first])
        table = graph.input(prefix + DISTANCE_KEY, [n_heads, width, "distances"])
        middle = graph.add("Div", [graph.n_rows(table, 2), graph.constant([2])])
        begin = graph.add("Sub", [middle, end])
        stop = graph.add("Add", [begin, graph.add("Add", [n_rows, n_keys])])
        scores = graph.add("MatMul", [query, graph.some(table, (begin, stop), 2)])  # (heads, rows, rows + keys)
        flat = graph.add("Reshape", [scores, graph.constant([n_heads, -1])])
        flat = graph.some(flat, (n_rows, graph.constant([END])), 1)
        shape = graph.add("Concat", [graph.constant([n_heads]), n_rows, graph.constant([-1])], axis=0)
        return graph.some(graph.add("Reshape", [flat, shape]), (zero, n_keys), 2)

    def _halves(self, rows: str, border: int) -> str:
        """The rows from a border on, then those before it."""
        graph, at = self.graph, self.graph.constant([border])
        parts = [graph.some(rows, (at, graph.constant([END]))), graph.some(rows, (graph.constant([0]), at))]
        return str(graph.add("Concat", parts, axis=0))
