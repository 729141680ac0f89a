"""How good are the answers? Figures of readers, of retrieval, of the whole path, and of a user's own questions."""
