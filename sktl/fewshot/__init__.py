"""Learning from a handful of examples: meta-learners, and the estimators that learn a new task with them."""

from sktl.fewshot._cnaps_learner import CNAPsLearner
from sktl.fewshot._cnp_learner import ConditionalNeuralProcessLearner
from sktl.fewshot._episodes import EpisodeIndices, EpisodeSampler
from sktl.fewshot._fewshot_classifier import FewShotClassifier
from sktl.fewshot._fewshot_regressor import FewShotRegressor
from sktl.fewshot._in_context_learner import InContextLearner
from sktl.fewshot._learned import TaskState
from sktl.fewshot._maml_learner import MAMLLearner
from sktl.fewshot._mann_learner import MANNLearner
from sktl.fewshot._matchingnet_learner import MatchingNetLearner
from sktl.fewshot._meta_lstm_learner import MetaLSTMLearner
from sktl.fewshot._protonet_classifier import ProtoNetClassifier
from sktl.fewshot._protonet_learner import ProtoNetLearner
from sktl.fewshot._relationnet_learner import RelationNetLearner
from sktl.fewshot._reptile_learner import ReptileLearner
from sktl.fewshot._saving import load_learner
from sktl.fewshot._snail_learner import SNAILLearner

__all__ = [
    "CNAPsLearner",
    "ConditionalNeuralProcessLearner",
    "EpisodeSampler",
    "FewShotClassifier",
    "FewShotRegressor",
    "InContextLearner",
    "MAMLLearner",
    "MANNLearner",
    "MatchingNetLearner",
    "MetaLSTMLearner",
    "ProtoNetClassifier",
    "ProtoNetLearner",
    "RelationNetLearner",
    "ReptileLearner",
    "SNAILLearner",
    "load_learner",
]
