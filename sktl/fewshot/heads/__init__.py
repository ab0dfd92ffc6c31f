"""Few-shot heads: pure (support, query) -> logits over whole batches of tasks."""

from sktl.fewshot.heads._head import Head, State, class_means, cosines, one_hot, squared_distances
from sktl.fewshot.heads._logistic import LogisticHead
from sktl.fewshot.heads._matching import MatchingHead
from sktl.fewshot.heads._nearest import NearestNeighbourHead
from sktl.fewshot.heads._prototypes import DISTANCES, PrototypeHead
from sktl.fewshot.heads._registry import HEADS, make_head
from sktl.fewshot.heads._relation import RelationHead
from sktl.fewshot.heads._ridge import RidgeHead, ridge_solution
from sktl.fewshot.heads._simpleshot import SimpleShotHead

__all__ = [
    "DISTANCES",
    "HEADS",
    "Head",
    "LogisticHead",
    "MatchingHead",
    "NearestNeighbourHead",
    "PrototypeHead",
    "RelationHead",
    "RidgeHead",
    "SimpleShotHead",
    "State",
    "class_means",
    "cosines",
    "make_head",
    "one_hot",
    "ridge_solution",
    "squared_distances",
]
