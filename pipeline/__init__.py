"""How does a question become answers? By retrieval, joint reading and ranking."""

N_ANSWERS = 3
N_CANDIDATES = 8
"""Passages that are read for an answer. Reading 20 finds 0.3 more in 100 answers (decision 26)."""
