"""Scores of domain adaptation that need no target labels, and one that cheats."""

from sktl.density_ratios import density_ratio
from sktl.metrics.scorers._cheating_oracle import CheatingOracleScorer
from sktl.metrics.scorers._consensus import ConsensusScorer, consensus_scores
from sktl.metrics.scorers._deep_embedded import DeepEmbeddedValidationScorer, deep_embedded_risk
from sktl.metrics.scorers._domain_scorer import DomainScorer
from sktl.metrics.scorers._entropy import EntropyScorer
from sktl.metrics.scorers._importance_weighted import ImportanceWeightedScorer
from sktl.metrics.scorers._information import InformationMaximizationScorer, mutual_information
from sktl.metrics.scorers._labelled import LabelledScorer
from sktl.metrics.scorers._multiple import MultipleScorers
from sktl.metrics.scorers._neighborhood_density import SoftNeighborhoodDensityScorer, soft_neighborhood_density
from sktl.metrics.scorers._nuclear_norm import BatchNuclearNormScorer, nuclear_norm_share
from sktl.metrics.scorers._registry import DOMAIN_SCORERS, get_domain_scorer
from sktl.metrics.scorers._reverse import ReverseValidationScorer
from sktl.metrics.scorers._source_target import SourceTargetScorer

__all__ = [
    "DOMAIN_SCORERS",
    "BatchNuclearNormScorer",
    "CheatingOracleScorer",
    "ConsensusScorer",
    "DeepEmbeddedValidationScorer",
    "DomainScorer",
    "EntropyScorer",
    "ImportanceWeightedScorer",
    "InformationMaximizationScorer",
    "LabelledScorer",
    "MultipleScorers",
    "ReverseValidationScorer",
    "SoftNeighborhoodDensityScorer",
    "SourceTargetScorer",
    "consensus_scores",
    "deep_embedded_risk",
    "density_ratio",
    "get_domain_scorer",
    "mutual_information",
    "nuclear_norm_share",
    "soft_neighborhood_density",
]
