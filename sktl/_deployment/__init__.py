"""A fitted estimator's network as others run it: a plain module, and ONNX."""

from sktl._deployment._module import DeployedNetwork
from sktl._deployment._onnx import Exportable, as_list, check_place, described_pictures, export_onnx
from sktl._deployment._pictures import GraphPreprocessing

__all__ = [
    "DeployedNetwork",
    "Exportable",
    "GraphPreprocessing",
    "as_list",
    "check_place",
    "described_pictures",
    "export_onnx",
]
