"""How the networks of all families are trained: schedules, optimisers, and one gradient loop (a skorch net).

`__all__` lists what users call. The other names serve the families of this library; they are internal and may change.
"""

from sktl.training._batches import RESIDENT_BYTES, RESIDENT_SHARE, TensorBatches
from sktl.training._checkpoints import OF_TRAININGS, CheckpointFolder, KeepEpochs
from sktl.training._ema import WeightAverage
from sktl.training._errors import DivergenceError
from sktl.training._files import decode_tensors, encode_tensors, read_tensors, write_whole
from sktl.training._history import best_epoch_of, history_of
from sktl.training._kept import kept_training, training_key
from sktl.training._net import TrainingNet
from sktl.training._optimizers import OPTIMIZERS, PRETRAINED_SHARE, make_optimizer
from sktl.training._processes import Processes, WholeBatches, processes_of, refuse_processes, shared_seed
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
from sktl.training._structure import as_tensors, features_and_target, map_tensors, n_rows, split_rows
from sktl.training._unreached import warn_of_unreached, was_reached

__all__ = [
    "OPTIMIZERS",
    "RESIDENT_BYTES",
    "RESIDENT_SHARE",
    "SCHEDULES",
    "DivergenceError",
    "constant",
    "cosine",
    "inverse_decay",
    "linear",
    "one_cycle",
    "steps",
]
