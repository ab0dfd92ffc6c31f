"""Learning from a handful of examples: meta-learners, and the estimators that learn a new task with them."""

from sktl.fewshot._episodes import EpisodeIndices, EpisodeSampler
from sktl.fewshot._fewshot_classifier import FewShotClassifier
from sktl.fewshot._fewshot_regressor import FewShotRegressor
from sktl.fewshot._learned import TaskState
from sktl.fewshot._maml_learner import MAMLLearner
from sktl.fewshot._matchingnet_learner import MatchingNetLearner
from sktl.fewshot._protonet_classifier import ProtoNetClassifier
from sktl.fewshot._protonet_learner import ProtoNetLearner
from sktl.fewshot._relationnet_learner import RelationNetLearner
from sktl.fewshot._reptile_learner import ReptileLearner
from sktl.fewshot._saving import load_learner

__all__ = [
    "EpisodeIndices",
    "EpisodeSampler",
    "FewShotClassifier",
    "FewShotRegressor",
    "MAMLLearner",
    "MatchingNetLearner",
    "ProtoNetClassifier",
    "ProtoNetLearner",
    "RelationNetLearner",
    "ReptileLearner",
    "TaskState",
    "load_learner",
]
