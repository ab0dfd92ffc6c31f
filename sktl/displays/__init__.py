"""What people look at: displays in scikit-learn's style, of estimators of every family.

A display is made by ``from_estimator``, or of what is known already by another ``from_...``; it draws at once, and
``plot(ax=...)`` draws it again elsewhere. matplotlib (``pip install sktl[plot]``) is imported when something is drawn.

`__all__` lists what users call. The other name serves the families of this library; it is internal and may change.
"""

from sktl.displays._confidence_shift import ConfidenceShiftDisplay
from sktl.displays._domain_shift import DomainShiftDisplay
from sktl.displays._drift import DriftDisplay
from sktl.displays._embedding import EmbeddingDisplay
from sktl.displays._episode import EpisodeDisplay
from sktl.displays._layer_accuracy import LayerAccuracyDisplay
from sktl.displays._leaderboard import LeaderboardDisplay
from sktl.displays._learning_rate import LearningRateDisplay
from sktl.displays._notebook import ShowsWhatWasLearned
from sktl.displays._predictions import PredictionsDisplay
from sktl.displays._saliency import SaliencyDisplay
from sktl.displays._training_curve import TrainingCurveDisplay
from sktl.displays._transfer_map import TransferMapDisplay

__all__ = [
    "ConfidenceShiftDisplay",
    "DomainShiftDisplay",
    "DriftDisplay",
    "EmbeddingDisplay",
    "EpisodeDisplay",
    "LayerAccuracyDisplay",
    "LeaderboardDisplay",
    "LearningRateDisplay",
    "PredictionsDisplay",
    "SaliencyDisplay",
    "TrainingCurveDisplay",
    "TransferMapDisplay",
]
