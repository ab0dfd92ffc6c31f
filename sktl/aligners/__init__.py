"""Adaptation in front of any classifier: transformers that make the rows of two domains alike."""

from sktl.aligners._base import Aligner
from sktl.aligners._coral import CORALAligner
from sktl.aligners._denoiser import MarginalizedDenoiser
from sktl.aligners._geodesic_flow import GeodesicFlowKernel
from sktl.aligners._joint_distribution import JointDistributionAligner
from sktl.aligners._labelled_only import LabelledOnly
from sktl.aligners._optimal_transport import OptimalTransportAligner
from sktl.aligners._standardizer import DomainStandardizer
from sktl.aligners._structural import StructuralCorrespondence
from sktl.aligners._subspace import SubspaceAligner
from sktl.aligners._transfer_components import TransferComponentAnalysis
from sktl.aligners._transfer_kernel import TransferKernelLearning

__all__ = [
    "Aligner",
    "CORALAligner",
    "DomainStandardizer",
    "GeodesicFlowKernel",
    "JointDistributionAligner",
    "LabelledOnly",
    "MarginalizedDenoiser",
    "OptimalTransportAligner",
    "StructuralCorrespondence",
    "SubspaceAligner",
    "TransferComponentAnalysis",
    "TransferKernelLearning",
]
