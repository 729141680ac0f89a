"""Which modules a family's networks are made of."""

from __future__ import annotations

from deformer_qa.reader.networks.modernbert import ModernBertNetwork
from deformer_qa.reader.networks.network import Network
from deformer_qa.reader.networks.xlnet import XlnetNetwork

_BERT = Network()
_OTHERS: dict[str, Network] = {"xlnet": XlnetNetwork(), "modernbert": ModernBertNetwork()}


def network_of(family: str) -> Network:
    """The modules of a family; those of BERT if it has its layers."""
    return _OTHERS.get(family, _BERT)
