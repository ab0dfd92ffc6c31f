import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier, GradualAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.displays import TrainingCurveDisplay
from sktl.fewshot import FewShotClassifier, MAMLLearner, ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from tests.displays.artists import labels_of


def values(history, name):
    return [row[name] for row in history]


def shown(display, name):
    line = display.lines_[name]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(line.get_xdata()) + 1))
    return line.get_ydata().tolist()


def test_fine_tuning_marks_the_epoch_that_early_stopping_kept(two_domains):
    X, y, _, _ = two_domains
    model = FineTunedClassifier(
        strategy="full", early_stopping=True, max_epochs=12, n_iter_no_change=2, learning_rate=0.1, random_state=0
    )
    model.fit(X[:40], y[:40], validation=(X[60:], y[60:]))
    display = TrainingCurveDisplay.from_estimator(model)
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        assert shown(display, name) == values(model.history_, name)
    assert shown(display, "learning rate") == values(model.history_, "lr")
    assert list(display.axes_) == ["loss", "score", "learning rate"]
    assert [line.get_xdata()[0] for line in display.best_lines_] == [model.best_epoch_] * 3
    assert model.best_epoch_ < model.n_iter_
    labels = labels_of(display.axes_["loss"].get_legend())
    assert labels == ["training loss", "validation loss", f"kept: epoch {model.best_epoch_}"]
    assert display.axes_["learning rate"].get_xlabel() == "epoch"
    assert plt.get_fignums() == [display.figure_.number]


def test_adaptation_shows_parts_and_the_chosen_epoch(two_domains):
    X, _, known, _ = two_domains
    scores = iter([0.1, 0.9, 0.2])
    model = DomainAdaptedClassifier(max_epochs=3, selection=lambda *_: next(scores), random_state=0).fit(X, known)
    display = TrainingCurveDisplay.from_estimator(model)
    assert list(display.losses) == ["train_loss", "train_supervised", "train_mcc"]
    np.testing.assert_allclose(
        np.add(shown(display, "train_supervised"), shown(display, "train_mcc")),
        shown(display, "train_loss"),
        rtol=1e-5,
    )
    assert display.best_epoch == model.best_epoch_ == 2
    assert "supervised (training)" in labels_of(display.axes_["loss"].get_legend())
    again = display.plot(parts=False)
    assert list(again.lines_) == ["train_loss", "selection_score", "learning rate"]


def test_inside_pipelines_searches_and_other_estimators(two_domains):
    X, y, _, _ = two_domains
    tuned = FineTunedRegressor(strategy="full", max_epochs=2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), tuned).fit(X, X[:, 0])
    display = TrainingCurveDisplay.from_estimator(pipeline)
    assert shown(display, "train_loss") == values(pipeline[-1].history_, "train_loss")
    assert display.best_epoch is None
    assert display.best_lines_ == []

    grid = {"max_epochs": [1]}
    search = GridSearchCV(FineTunedClassifier(strategy="full", random_state=0), grid, cv=2).fit(X, y)
    display = TrainingCurveDisplay.from_estimator(search)
    assert shown(display, "train_loss") == values(search.best_estimator_.history_, "train_loss")

    source = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0).fit(X[:60], y[:60])
    adapted = SourceFreeAdaptedClassifier(source, max_epochs=2, random_state=0).fit(X[60:])
    display = TrainingCurveDisplay.from_estimator(adapted)
    assert shown(display, "train_entropy") == values(adapted.history_, "train_entropy")
    assert shown(display, "pseudo_labels_changed") == values(adapted.history_, "pseudo_labels_changed")
    assert list(display.scores) == ["pseudo_labels_changed"]

    learner = MAMLLearner(n_way=2, n_shot=2, n_query=2, n_episodes=8, random_state=0)
    few = FewShotClassifier(learner).fit(X, y)
    display = TrainingCurveDisplay.from_estimator(few)
    assert shown(display, "train_loss") == values(few.learner_.history_, "train_loss")
    assert "train_accuracy" in display.scores


def test_steps_of_a_gradual_adaptation(two_domains):
    X, y, _, _ = two_domains
    source = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0).fit(X[:60], y[:60])
    model = GradualAdaptedClassifier(source).fit(X[60:], np.full(60, -1), sample_domain=np.repeat([1, 2], 30))
    display = TrainingCurveDisplay.from_estimator(model)
    assert shown(display, "train_loss") == values(model.history_, "train_loss")
    steps = values(model.history_, "step")
    start = steps.index(2) + 0.5
    ax = display.axes_["loss"]
    assert start in [line.get_xdata()[0] for line in ax.lines]
    assert [text.get_text() for text in ax.texts] == ["step 2"]


def test_a_history_alone_may_lack_things():
    history = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0, "valid_loss": 3.0}]
    _, ax = plt.subplots()
    display = TrainingCurveDisplay.from_history(history, best_epoch=2, ax=ax)
    assert display.axes_ == {"loss": ax}
    np.testing.assert_array_equal(display.losses["valid_loss"], [np.nan, 3.0])
    assert display.best_lines_[0].get_xdata() == [2, 2]


@pytest.mark.parametrize(
    ("history", "options", "error", "message"),
    [
        ([], {}, TypeError, "a list of dicts, one an epoch"),
        ([1.0, 0.5], {}, TypeError, "a list of dicts, one an epoch"),
        ([{"epoch": 1, "dur": 0.1}], {}, ValueError, "no loss: its rows hold 'epoch', 'dur'"),
        ([{"train_loss": 1.0}], {"best_epoch": 2}, ValueError, "best_epoch must be from 1 to 1, .*; got 2"),
    ],
)
def test_bad_history(history, options, error, message):
    with pytest.raises(error, match=message):
        TrainingCurveDisplay.from_history(history, **options)
    assert not plt.get_fignums()


def test_estimators_without_a_curve(two_domains):
    X, y, _, _ = two_domains
    for estimator in (LogisticRegression(), ProtoNetClassifier().fit(X, y)):
        with pytest.raises(TypeError, match=r"with a history_; .* has none\. Fit it first"):
            TrainingCurveDisplay.from_estimator(estimator)
    solved = FineTunedClassifier(strategy="head", random_state=0).fit(X, y)
    assert solved.best_epoch_ is None
    with pytest.raises(ValueError, match="solved, not trained"):
        TrainingCurveDisplay.from_estimator(solved)
