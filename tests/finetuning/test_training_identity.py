"""No training is given the result of another setting's; the same setting is found again."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import resumed_settings as settings
import torch
from resumed_settings import StopAfter, classes, learner, network, rows, tuned
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, GradientNormClipping

from sktl.exceptions import CheckpointWarning
from sktl.fewshot import MatchingNetLearner, ProtoNetLearner

HERE = Path(__file__).resolve().parent

PAIRS = {
    "momentum": [{"optimizer": settings.sgd(0.0)}, {"optimizer": settings.sgd(0.9)}],
    "closure": [{"schedule": settings.fading(0.0)}, {"schedule": settings.fading(1.0)}],
    "object": [{"schedule": settings.Decay(0.0)}, {"schedule": settings.Decay(1.0)}],
    "default": [{"schedule": lambda s, n, r=1.0: r}, {"schedule": lambda s, n, r=0.1: r}],
    "callback": [{"callbacks": [settings.Interferes(1.0)]}, {"callbacks": [settings.Interferes(0.5)]}],
    "callback or none": [{}, {"callbacks": [("name", settings.Interferes(0.5))]}],
    "skorch's callback": [{"callbacks": [GradientNormClipping(limit)], "optimizer": "sgd"} for limit in (1e-3, 10.0)],
}


class Counts(Callback):
    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(len(net.history))


def weights(model):
    return {name: value.numpy() for name, value in model._learned.tensors.items()}


def assert_equal(model, other):
    ours, theirs = weights(model), weights(other)
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("what", PAIRS)
def test_settings_that_differ_inside_are_trained_by_themselves(what, tmp_path):
    one, two = PAIRS[what]
    expected = [tuned(None, **options).fit(*rows()) for options in (one, two)]
    assert any(not np.array_equal(a, b) for a, b in zip(*(weights(model).values() for model in expected)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Checkpoints in.*other data or parameters", CheckpointWarning)
        for options, alone in zip((one, two), expected):
            assert_equal(tuned(tmp_path, **options).fit(*rows()), alone)
            found = tuned(tmp_path, **{"callbacks": [StopAfter(0)], **options}).fit(*rows())
            assert_equal(found, alone)
    assert len({path.name.split("-")[0] for path in tmp_path.glob("*.safetensors")}) == 2


def test_augmentations_and_networks_differ_inside(tmp_path):
    X, y = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), np.array(["a", "b"] * 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
        backbone = torch.nn.Sequential(*body, torch.nn.Linear(4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        for augment in (settings.Brighter(0.5), settings.Brighter(1.0), "auto"):
            for views in (None, 2):
                options = {"max_epochs": 1, "image_size": 16, "n_views": views, "batch_size": 4, "augment": augment}
                kept = tuned(tmp_path, backbone=backbone, **options).fit(X, y)
                assert_equal(kept, tuned(None, backbone=backbone, **options).fit(X, y))
    assert len(list(tmp_path.glob("*.safetensors"))) == 6


def test_a_grid_over_momentum(tmp_path):
    grid = {"optimizer": [settings.sgd(0.0), settings.sgd(0.9), settings.sgd(0.99)]}
    X, y = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        found, expected = (
            GridSearchCV(tuned(folder, max_epochs=2, batch_size=4), grid, cv=2, scoring="neg_log_loss").fit(X, y)
            for folder in (tmp_path, None)
        )
    assert np.array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert len(set(found.cv_results_["mean_test_score"])) == 3


def test_another_process_goes_on(tmp_path):
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    script = [sys.executable, str(HERE / "resumed_settings.py"), str(tmp_path)]
    done = subprocess.run(script, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stdout == "stopped\nstopped\n", done.stderr[-3000:]
    for (model, data), (alone, _) in zip(settings.resumed_models(tmp_path), settings.resumed_models(tmp_path / "-")):
        counts = Counts()
        with warnings.catch_warnings():
            warnings.simplefilter("error", CheckpointWarning)
            model.set_params(callbacks=[counts]).fit(*data)
        assert counts.seen[0] == 2
        assert_equal(model, alone.set_params(checkpoint_dir=None).fit(*data))


def keys_in(folder):
    """Return the keys of the trainings that a folder holds checkpoints of."""
    return {path.name.split("-")[0] for path in folder.glob("*.safetensors")}


class TestMetaLearners:
    @pytest.fixture
    def kept(self, tmp_path):
        path = tmp_path / "training"
        learner(path, backbone=network(), n_episodes=4).fit(*classes())
        return path

    @pytest.mark.parametrize(
        "changes",
        [
            lambda n: {"backbone": network(2.0)},
            lambda n: {"backbone": (n[0].weight.data.add_(0.1), n)[1]},
            lambda n: {"schedule": settings.Decay(1.0)},
            lambda n: {"random_state": 1},
            lambda n: {"callbacks": [settings.Interferes(0.5)]},
        ],
        ids=["hook", "values", "schedule", "seed", "callback"],
    )
    def test_another_setting_starts_afresh(self, changes, kept):
        X, y = classes()
        found, alone = (
            learner(path, **{"backbone": network(), "n_episodes": 4, **changes(network())}).fit(X, y)
            for path in (kept, None)
        )
        assert len(keys_in(kept)) == 2
        assert np.array_equal(found.transform(X), alone.transform(X))

    def test_other_groups_and_classes_of_learners_start_afresh(self, kept):
        X, y = classes()
        learner(kept, backbone=network(), n_episodes=4).fit(X, y, groups=y // 3)
        assert len(keys_in(kept)) == 2
        options = ProtoNetLearner().get_params()
        ours = {k: v for k, v in learner(kept, backbone=network(), n_episodes=4).get_params().items() if k in options}
        theirs = MatchingNetLearner().get_params()
        taken = {k: v for k, v in ours.items() if k in theirs and k != "validation_fraction"}
        MatchingNetLearner(**taken).fit(X, y)
        assert len(keys_in(kept)) == 3

    def test_the_same_is_found(self, kept):
        X, y = classes()
        found = learner(kept, backbone=network(), n_episodes=4, callbacks=[StopAfter(0)]).fit(X, y)
        assert np.array_equal(
            found.transform(X), learner(None, backbone=network(), n_episodes=4).fit(X, y).transform(X)
        )

    def test_a_module_changed_after_fit_changes_nothing(self):
        X, y = classes()
        module = network()
        module.register_buffer("late", torch.tensor(1.0), persistent=False)
        module.register_forward_hook(lambda module, inputs, output: output * module.late)
        fitted = learner(None, backbone=module, n_episodes=4).fit(X, y)
        expected = learner(None, backbone=module, n_episodes=4).fit(X, y).transform(X)
        module.late.fill_(3.0)
        module[0].weight.data.zero_()
        assert np.array_equal(fitted.transform(X), expected)


class Unclear:
    """A schedule that nobody can see through."""

    def __call__(self, step, n_steps):
        return eval("1.0")


def test_what_cannot_be_made_out_is_not_resumed_and_named(tmp_path):
    for _ in range(2):
        with pytest.warns(CheckpointWarning, match=r"checkpoint_dir=.*resumes none.*schedule \(code that calls eval\)"):
            model = tuned(tmp_path, schedule=Unclear()).fit(*rows())
        assert_equal(model, tuned(None, schedule=Unclear()).fit(*rows()))
    assert not list(tmp_path.glob("*.safetensors"))
    path = tmp_path / "training"
    with pytest.warns(CheckpointWarning, match=r"checkpoint_dir=.*resumes none.*schedule"):
        learner(path, n_episodes=4, schedule=Unclear()).fit(*classes())
    assert not list(path.glob("*.safetensors"))
