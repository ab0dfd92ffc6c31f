"""Splitters and scorers for transfer: domains, periods, and episodes of few-shot learning."""

from sktl.model_selection._episode_scores import EpisodeScores, episode_scores
from sktl.model_selection._episode_split import EpisodeSplit
from sktl.model_selection._episodic_scorer import episodic_scorer
from sktl.model_selection._leave_one_domain_out import LeaveOneDomainOut
from sktl.model_selection._source_target_shuffle_split import SourceTargetShuffleSplit
from sktl.model_selection._stratified_domain_kfold import StratifiedDomainKFold
from sktl.model_selection._time_domain_split import TimeDomainSplit

__all__ = [
    "EpisodeScores",
    "EpisodeSplit",
    "LeaveOneDomainOut",
    "SourceTargetShuffleSplit",
    "StratifiedDomainKFold",
    "TimeDomainSplit",
    "episode_scores",
    "episodic_scorer",
]
