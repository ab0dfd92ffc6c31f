"""scikit-learn's callbacks see all estimators, inside pipelines and grids too."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

import sktl
from sktl import CNNCodesTransformer, adaptation, fewshot, finetuning
from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.fewshot import FewShotClassifier, MAMLLearner, ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier

sklearn_callback = pytest.importorskip("sklearn.callback", reason="callbacks are those of scikit-learn 1.9 and later")


class Tasks:
    """Counts the tasks that begin and end, by estimator and name."""

    max_propagation_depth = None

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.ended.append((context.estimator_name, context.task_name))

    def __call__(self, estimator, task):
        assert self.begun.count((estimator, task)) == self.ended.count((estimator, task))
        return self.ended.count((estimator, task))


@pytest.fixture(scope="module")
def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


@pytest.fixture(scope="module")
def pictures():
    X = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3), dtype=np.uint8)
    return X, np.arange(12) % 2


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = (X[:, 0] > 0).astype(int)
    return np.concatenate([X, X + 0.3]), np.concatenate([y, np.full(200, -1)])


@pytest.fixture
def at_once(monkeypatch):
    """Show lines from the first second on, and every time."""
    monkeypatch.setattr("sktl._progress.QUIET", 0.0)
    monkeypatch.setattr("sktl._progress.LOGGED_EVERY", 0.0)


class TestCodes:
    @pytest.mark.parametrize("cache", [None, "memory"])
    def test_pictures_are_tasks(self, network, pictures, cache):
        transformer = CNNCodesTransformer(network, image_size=16, batch_size=5, cache=cache)
        plain = transformer.fit_transform(pictures[0])
        tasks = Tasks()
        transformer.set_callbacks(tasks)
        assert np.array_equal(transformer.fit_transform(pictures[0]), plain)
        assert tasks("CNNCodesTransformer", "pictures") == 12
        assert np.array_equal(transformer.transform(pictures[0]), plain)
        assert tasks("CNNCodesTransformer", "transform") == 1
        assert tasks("CNNCodesTransformer", "pictures") == 24
        assert not [name for name in vars(transformer) if "callback_fit" in name or "teardown" in name]

    def test_in_a_grid(self, network, pictures):
        pipeline = make_pipeline(CNNCodesTransformer(network, image_size=16), LogisticRegression())
        tasks = Tasks()
        search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1]}, cv=2).set_callbacks(tasks).fit(*pictures)
        assert tasks("CNNCodesTransformer", "fit_transform") == 5  # two folds of two, and the refit
        assert tasks("CNNCodesTransformer", "pictures") == 4 * 6 + 12
        search.predict(pictures[0])
        assert tasks("CNNCodesTransformer", "pictures") == 4 * 6 + 12  # prediction is no part of the fit

    def test_bars_are_drawn(self, network, pictures, capsys):
        pytest.importorskip("rich", reason="rich draws the progress bars that are tested")
        CNNCodesTransformer(network, image_size=16).set_callbacks(sklearn_callback.ProgressBar()).fit_transform(
            pictures[0]
        )
        assert "CNNCodesTransformer - fit_transform" in capsys.readouterr().out

    def test_a_line(self, network, pictures, capsys, at_once):
        transformer = CNNCodesTransformer(network, image_size=16, batch_size=5, verbose=1).fit(pictures[0])
        assert capsys.readouterr().out == ""
        transformer.transform(pictures[0])
        expected = [
            "CNNCodesTransformer: 5 of 12 pictures",
            "CNNCodesTransformer: 10 of 12",
            "CNNCodesTransformer: 12 of",
        ]
        lines = capsys.readouterr().out.splitlines()
        assert [line.startswith(start) for line, start in zip(lines, expected)] == [True] * 3
        assert len(list(transformer.iter_transform(pictures[0], 6))) == 2
        assert "12 of 12 pictures in 0 s" in capsys.readouterr().out


class TestFineTuning:
    @pytest.mark.parametrize(
        ("options", "stages"),
        [
            ({"strategy": "head"}, {"codes": 1}),
            ({"strategy": "lp-ft"}, {"codes": 1, "epoch": 2}),
            ({"strategy": "last", "freeze_until": 1.0}, {"frozen layers": 1, "epoch": 2}),
        ],
    )
    def test_stages_are_tasks(self, network, pictures, options, stages):
        tasks = Tasks()
        model = FineTunedClassifier(network, image_size=16, max_epochs=2, random_state=0, **options)
        model.set_callbacks(tasks).fit(*pictures)
        found = {name: tasks("FineTunedClassifier", name) for name in {name for _, name in tasks.begun}}
        assert found == {"fit": 1, "pictures": 12, **stages}

    def test_a_line_for_the_codes(self, network, pictures, capsys, at_once):
        FineTunedClassifier(network, strategy="head", image_size=16, verbose=1).fit(*pictures)
        assert "FineTunedClassifier, codes: 12 of 12 pictures in 0 s" in capsys.readouterr().out


class TestAdaptation:
    def test_the_source_comes_first(self, table):
        tasks = Tasks()
        model = SourceFreeAdaptedClassifier(DomainAdaptedClassifier(loss=None, max_epochs=3), max_epochs=2)
        GridSearchCV(model, {"weight": [0.1]}, cv=2, error_score="raise").set_callbacks(tasks).fit(*table)
        assert tasks("DomainAdaptedClassifier", "epoch") == 3 * 3
        assert tasks("SourceFreeAdaptedClassifier", "epoch") == 3 * 2

    @pytest.mark.parametrize("order", ["sorted", None])
    def test_steps(self, table, order):
        tasks = Tasks()
        model = GradualAdaptedClassifier(
            DomainAdaptedClassifier(loss=None, max_epochs=1), n_steps=2, max_epochs=3, order=order, random_state=0
        )
        model.set_callbacks(tasks).fit(*table, sample_domain=np.repeat([0, 1, 2], [200, 100, 100]))
        n_steps = len(model.estimators_)
        assert tasks("GradualAdaptedClassifier", "step") == n_steps
        assert tasks("GradualAdaptedClassifier", "epoch") == 3 * n_steps
        assert [(row["step"], row["epoch"]) for row in model.history_] == [
            (name, epoch) for name in model.estimators_ for epoch in (1, 2, 3)
        ]
        assert (model.learning_rate_, model.batch_size_, model.steps_per_epoch_) == (0.01, 64, 20)

    def test_steps_of_other_classifiers(self, table, capsys, at_once):
        tasks = Tasks()
        model = GradualAdaptedClassifier(LogisticRegression(), n_steps=2, verbose=1).set_callbacks(tasks).fit(*table)
        assert tasks("GradualAdaptedClassifier", "step") == 2
        assert (model.history_, model.batch_size_) == ([], None)
        assert capsys.readouterr().out.startswith("GradualAdaptedClassifier: 1 of 2 steps, ")

    @pytest.mark.parametrize(("method", "passes", "trained"), [("adabn", 2, 0), ("tent", 4, 512)])
    def test_test_time(self, table, method, passes, trained, capsys, at_once):
        tasks = Tasks()
        source = DomainAdaptedClassifier(loss=None, bottleneck=256, max_epochs=2, random_state=0)
        model = TestTimeAdaptedClassifier(source, method=method, max_epochs=2, random_state=0, verbose=1)
        model.set_callbacks(tasks).fit(*table)
        assert tasks("DomainAdaptedClassifier", "epoch") == 2
        assert tasks("TestTimeAdaptedClassifier", "rows") == 100  # of 200 rows in each pass
        assert f"{passes * 200} of {passes * 200} rows" in capsys.readouterr().out
        assert (model.batch_size_, model.n_trained_) == (64, trained)


class TestFewShot:
    def test_pictures(self, network, pictures):
        tasks = Tasks()
        ProtoNetClassifier(network, image_size=16).set_callbacks(tasks).fit(*pictures)
        assert tasks("ProtoNetClassifier", "pictures") == 12

    def test_meta_training(self):
        X, y = np.random.default_rng(0).normal(size=(12, 2)), np.repeat(range(3), 4)
        learner = MAMLLearner(n_way=3, n_query=1, n_episodes=150, meta_batch_size=1, random_state=0)
        tasks = Tasks()
        FewShotClassifier(learner).set_callbacks(tasks).fit(X, y)
        assert tasks("MAMLLearner", "epoch") == 2
        FewShotClassifier(FrozenEstimator(learner.fit(X, y))).set_callbacks(tasks).fit(X[:8], y[:8])
        assert tasks.ended[-1] == ("FewShotClassifier", "fit")


def test_every_estimator_takes_callbacks():
    public = [getattr(module, name) for module in (sktl, adaptation, fewshot, finetuning) for name in module.__all__]
    estimators = [cls for cls in public if isinstance(cls, type) and hasattr(cls, "fit") and hasattr(cls, "get_params")]
    assert len(estimators) > 15
    assert [cls.__name__ for cls in estimators if not issubclass(cls, sklearn_callback.CallbackSupportMixin)] == []
