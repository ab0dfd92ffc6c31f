"""Adaptation by weights: source rows count as much as rows like them, or their class, occur in the target."""

from sktl.reweighting._bbse import BBSE
from sktl.reweighting._label_shift import LabelShift
from sktl.reweighting._registry import WEIGHTERS, get_weighter
from sktl.reweighting._reweighted import ReweightedClassifier, ReweightedRegressor
from sktl.reweighting._rlls import RLLS
from sktl.reweighting._saerens import SaerensEM
from sktl.reweighting._tradaboost import TrAdaBoostClassifier

__all__ = [
    "BBSE",
    "RLLS",
    "WEIGHTERS",
    "LabelShift",
    "ReweightedClassifier",
    "ReweightedRegressor",
    "SaerensEM",
    "TrAdaBoostClassifier",
    "get_weighter",
]
