"""A state that was changed, and its digest made anew: what belongs to no training is told before it goes on."""

import copy
import math

import pytest

from sktl.training import ClassificationStep, TensorBatches, TrainingNet, load_training_state, training_state
from sktl.training._state import check_training_state


def net_on(module):
    return TrainingNet(module, ClassificationStep(), max_epochs=2, lr=0.02, schedule="one_cycle")


@pytest.fixture
def state(mlp, rows):
    return training_state(net_on(mlp()).partial_fit(TensorBatches(rows, 10), epochs=1))


def test_a_sound_state_is_taken(mlp, state):
    net = net_on(mlp())
    load_training_state(net, state)
    check_training_state(net, state)


@pytest.mark.parametrize("name", ["lr", "initial_lr", "betas", "weight_decay"])
@pytest.mark.parametrize("value", ["left out", "x", math.nan, None, [1, "x"]], ids=str)
def test_settings_of_the_optimizer_are_all_there(mlp, state, name, value):
    group = copy.deepcopy(state)["optimizer"]["param_groups"][0]
    if value == "left out":
        del group[name]
    else:
        group[name] = value
    changed = {**state, "optimizer": {**state["optimizer"], "param_groups": [group]}}
    net = net_on(mlp())
    load_training_state(net, changed)
    with pytest.raises(ValueError, match=f"{name} of the optimizer is"):
        check_training_state(net, changed)
