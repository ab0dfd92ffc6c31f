"""What draws two domains together: pure functions, and small objects that hold their parameters."""

from sktl.adaptation.losses._adda import ADDA
from sktl.adaptation.losses._afn import AFN, norm_growth
from sktl.adaptation.losses._base import DomainLoss, View
from sktl.adaptation.losses._bnm import BNM, nuclear_norm
from sktl.adaptation.losses._bsp import BSP, spectral_penalty
from sktl.adaptation.losses._cdan import CDAN, entropy_weights, outer_product
from sktl.adaptation.losses._cmd import CMD, central_moments
from sktl.adaptation.losses._coral import CORAL, coral
from sktl.adaptation.losses._dann import DANN
from sktl.adaptation.losses._dare_gram import DAREGRAM, inverse_gram_distances
from sktl.adaptation.losses._deepjdot import DeepJDOT, exact_plan, joint_cost, sinkhorn_plan
from sktl.adaptation.losses._dsan import DSAN, local_mmd
from sktl.adaptation.losses._entropy import Entropy, entropy
from sktl.adaptation.losses._fixmatch import FixMatch
from sktl.adaptation.losses._group_dro import GroupDRO, tilted
from sktl.adaptation.losses._irm import IRM, invariance_penalty
from sktl.adaptation.losses._jan import JAN, joint_mmd
from sktl.adaptation.losses._kernels import gaussian_kernel
from sktl.adaptation.losses._mcc import MCC, class_confusion
from sktl.adaptation.losses._mcd import MCD, classifier_discrepancy
from sktl.adaptation.losses._mdd import MDD, margin_disparity
from sktl.adaptation.losses._mean_teacher import MeanTeacher, confident_consistency
from sktl.adaptation.losses._mixstyle import MixStyle, mix_style
from sktl.adaptation.losses._mmd import MMD, mmd
from sktl.adaptation.losses._pseudo_labels import PseudoLabels, confident_cross_entropy
from sktl.adaptation.losses._registry import LOSSES, get_loss, get_losses
from sktl.adaptation.losses._reversal import domain_loss, reverse_gradient, warm_up

__all__ = [
    "ADDA",
    "AFN",
    "BNM",
    "BSP",
    "CDAN",
    "CMD",
    "CORAL",
    "DANN",
    "DAREGRAM",
    "DSAN",
    "IRM",
    "JAN",
    "LOSSES",
    "MCC",
    "MCD",
    "MDD",
    "MMD",
    "DeepJDOT",
    "DomainLoss",
    "Entropy",
    "FixMatch",
    "GroupDRO",
    "MeanTeacher",
    "MixStyle",
    "PseudoLabels",
    "View",
    "central_moments",
    "class_confusion",
    "classifier_discrepancy",
    "confident_consistency",
    "confident_cross_entropy",
    "coral",
    "domain_loss",
    "entropy",
    "entropy_weights",
    "exact_plan",
    "gaussian_kernel",
    "get_loss",
    "get_losses",
    "invariance_penalty",
    "inverse_gram_distances",
    "joint_cost",
    "joint_mmd",
    "local_mmd",
    "margin_disparity",
    "mix_style",
    "mmd",
    "norm_growth",
    "nuclear_norm",
    "outer_product",
    "reverse_gradient",
    "sinkhorn_plan",
    "spectral_penalty",
    "tilted",
    "warm_up",
]
