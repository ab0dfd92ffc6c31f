"""The only gradient loop of the library: one skorch net, its batches, steps and schedules."""

from sktl.training._batches import TensorBatches
from sktl.training._checkpoints import OF_TRAININGS, CheckpointFolder, KeepEpochs
from sktl.training._ema import WeightAverage
from sktl.training._errors import DivergenceError
from sktl.training._files import encode_tensors, read_tensors, write_whole
from sktl.training._history import history_of
from sktl.training._net import TrainingNet
from sktl.training._optimizers import OPTIMIZERS, make_optimizer
from sktl.training._processes import Processes, processes_of
from sktl.training._progress import EpochTasks
from sktl.training._schedules import (
    SCHEDULES,
    constant,
    cosine,
    get_schedule,
    inverse_decay,
    linear,
    one_cycle,
    one_cycle_momentum,
    steps,
)
from sktl.training._state import load_training_state, pack, progress_of, to_arrays, training_state, unpack
from sktl.training._steps import (
    ClassificationStep,
    RegressionStep,
    Step,
    StepResult,
    classification_losses,
    to_largest,
    unit_mean,
    weighted_mean,
)
from sktl.training._stream import StreamBatches
from sktl.training._structure import features_and_target, map_tensors, n_rows, split_rows

__all__ = [
    "OF_TRAININGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "CheckpointFolder",
    "ClassificationStep",
    "DivergenceError",
    "EpochTasks",
    "KeepEpochs",
    "Processes",
    "RegressionStep",
    "Step",
    "StepResult",
    "StreamBatches",
    "TensorBatches",
    "TrainingNet",
    "WeightAverage",
    "classification_losses",
    "constant",
    "cosine",
    "encode_tensors",
    "features_and_target",
    "get_schedule",
    "history_of",
    "inverse_decay",
    "linear",
    "load_training_state",
    "make_optimizer",
    "map_tensors",
    "n_rows",
    "one_cycle",
    "one_cycle_momentum",
    "pack",
    "processes_of",
    "progress_of",
    "read_tensors",
    "split_rows",
    "steps",
    "to_arrays",
    "to_largest",
    "training_state",
    "unit_mean",
    "unpack",
    "weighted_mean",
    "write_whole",
]
