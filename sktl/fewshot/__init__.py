"""Learning from a handful of examples: meta-learners, and the estimators that learn a new task with them."""

from sktl.fewshot._fewshot_classifier import FewShotClassifier
from sktl.fewshot._fewshot_regressor import FewShotRegressor
from sktl.fewshot._protonet_classifier import ProtoNetClassifier
from sktl.fewshot.meta_training._episodes import EpisodeIndices, EpisodeSampler
from sktl.fewshot.meta_training._fitted_method import TaskState
from sktl.fewshot.metric_based._matchingnet import MatchingNetLearner
from sktl.fewshot.metric_based._protonet import ProtoNetLearner
from sktl.fewshot.metric_based._relationnet import RelationNetLearner
from sktl.fewshot.model_based._cnaps import CNAPsLearner
from sktl.fewshot.model_based._cnp import ConditionalNeuralProcessLearner
from sktl.fewshot.model_based._in_context import InContextLearner
from sktl.fewshot.model_based._mann import MANNLearner
from sktl.fewshot.model_based._snail import SNAILLearner
from sktl.fewshot.optimisation_based._maml import MAMLLearner
from sktl.fewshot.optimisation_based._meta_lstm import MetaLSTMLearner
from sktl.fewshot.optimisation_based._reptile import ReptileLearner

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
]
