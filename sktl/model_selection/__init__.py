"""Splitters and scorers for transfer: episodes of few-shot learning."""

from sktl.model_selection._episode_scores import EpisodeScores, episode_scores
from sktl.model_selection._episode_split import EpisodeSplit
from sktl.model_selection._episodic_scorer import episodic_scorer

__all__ = ["EpisodeScores", "EpisodeSplit", "episode_scores", "episodic_scorer"]
