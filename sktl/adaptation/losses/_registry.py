"""Losses by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sktl._named import get_named
from sktl.adaptation.losses._adda import ADDA
from sktl.adaptation.losses._afn import AFN
from sktl.adaptation.losses._base import DomainLoss
from sktl.adaptation.losses._bnm import BNM
from sktl.adaptation.losses._bsp import BSP
from sktl.adaptation.losses._cdan import CDAN
from sktl.adaptation.losses._cmd import CMD
from sktl.adaptation.losses._coral import CORAL
from sktl.adaptation.losses._dann import DANN
from sktl.adaptation.losses._dare_gram import DAREGRAM
from sktl.adaptation.losses._deepjdot import DeepJDOT
from sktl.adaptation.losses._dsan import DSAN
from sktl.adaptation.losses._entropy import Entropy
from sktl.adaptation.losses._fixmatch import FixMatch
from sktl.adaptation.losses._group_dro import GroupDRO
from sktl.adaptation.losses._irm import IRM
from sktl.adaptation.losses._jan import JAN
from sktl.adaptation.losses._mcc import MCC
from sktl.adaptation.losses._mcd import MCD
from sktl.adaptation.losses._mdd import MDD
from sktl.adaptation.losses._mean_teacher import MeanTeacher
from sktl.adaptation.losses._mixstyle import MixStyle
from sktl.adaptation.losses._mmd import MMD
from sktl.adaptation.losses._pseudo_labels import PseudoLabels

LOSSES: dict[str, Callable[[], DomainLoss]] = {
    "mmd": MMD,
    "jan": JAN,
    "coral": CORAL,
    "cmd": CMD,
    "dsan": DSAN,
    "deepjdot": DeepJDOT,
    "dare_gram": DAREGRAM,
    "dann": DANN,
    "cdan": CDAN,
    "cdan+e": partial(CDAN, entropy=True),
    "adda": ADDA,
    "mcd": MCD,
    "mdd": MDD,
    "entropy": Entropy,
    "mcc": MCC,
    "bnm": BNM,
    "afn": AFN,
    "bsp": BSP,
    "pseudo_labels": PseudoLabels,
    "fixmatch": FixMatch,
    "mean_teacher": MeanTeacher,
    "irm": IRM,
    "group_dro": GroupDRO,
    "mixstyle": MixStyle,
    "coral_sources": partial(CORAL, between="sources"),
}


def get_loss(loss: Any) -> DomainLoss:
    """Return the loss of that name, a user's own by its `name`; losses come back as they are.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a loss.
    """
    return get_named(loss, DomainLoss, LOSSES, "loss", "an object of sktl.adaptation.losses, a list of these, or None")


def get_losses(loss: Any) -> list[DomainLoss]:
    """Return the losses that `loss` means: none for None, one, or those of a list."""
    if loss is None:
        return []
    return [get_loss(one) for one in loss] if isinstance(loss, (list, tuple)) else [get_loss(loss)]
