"""Meta-learners: they learn what tasks share, and keep the contract."""

import errno
import pickle
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold
from torch import nn

import sktl
from sktl.exceptions import CheckpointWarning, DivergenceError
from sktl.fewshot import (
    FewShotClassifier,
    FewShotRegressor,
    MAMLLearner,
    MatchingNetLearner,
    ProtoNetClassifier,
    ProtoNetLearner,
    RelationNetLearner,
    ReptileLearner,
)
from sktl.model_selection import episode_scores, episodic_scorer
from sktl.training import encode_tensors, read_tensors

FEW = {"n_way": 3, "n_query": 4, "random_state": 0}
LEARNERS = [
    ProtoNetLearner(**FEW, n_episodes=30),
    ProtoNetLearner(**FEW, n_episodes=30, head="ridge"),
    MatchingNetLearner(**FEW, n_episodes=40),
    MatchingNetLearner(**FEW, n_episodes=40, full_context=True),
    RelationNetLearner(**FEW, n_episodes=40),
    MAMLLearner(**FEW, n_episodes=40),
    MAMLLearner(**FEW, n_episodes=12, inner_steps=2, multi_step_loss=True, learned_rates="step"),
    MAMLLearner(**FEW, n_episodes=8, order="implicit", inner_steps=2, cg_steps=2, batch_norm="transductive"),
    MAMLLearner(**FEW, n_episodes=12, inner_steps=2, zero_head=True, learned_rates="parameter"),
    ReptileLearner(**{**FEW, "n_way": 3}, n_shot=4, n_episodes=40, inner_steps=2, adapt_steps=5),
]


def name_of(learner):
    return repr(learner).replace("\n", "")


def tiny():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))


QUICK = {"n_episodes": 800, "meta_batch_size": 8, "n_query": 5, "learning_rate": 5e-3, "random_state": 0}
ROW_LEARNERS = {
    "prototypes": ProtoNetLearner(n_way=6, n_query=5, n_episodes=150, random_state=0),
    "R2-D2": ProtoNetLearner(n_way=6, n_query=5, n_episodes=150, head="ridge", random_state=0),
    "matching": MatchingNetLearner(n_episodes=600, n_query=5, random_state=0),
    "relation": RelationNetLearner(**QUICK),
    "MAML": MAMLLearner(**QUICK, inner_steps=2),
    "MAML, zero head": MAMLLearner(**QUICK, inner_steps=2, zero_head=True),
    "ANIL": MAMLLearner(**QUICK, inner_steps=2, adapt="head"),
    "Meta-SGD": MAMLLearner(**QUICK, learned_rates="parameter"),
    "iMAML": MAMLLearner(**QUICK, order="implicit", inner_steps=4, proximal=1.0),
    "Reptile": ReptileLearner(
        n_episodes=1500, n_query=5, meta_batch_size=10, inner_learning_rate=0.01, inner_steps=5, random_state=0
    ),
}


@pytest.mark.parametrize("name", ROW_LEARNERS)
def test_what_tasks_share_is_learned(name, base_rows, new_rows):
    """Three of twelve features tell classes apart, in the classes to come too."""
    options = {"n_way": 5, "n_query": 10, "n_episodes": 100}
    raw = episode_scores(FewShotClassifier("prototypes"), *new_rows, **options).mean
    learned = episode_scores(clone(ROW_LEARNERS[name]).fit(*base_rows), *new_rows, **options).mean
    assert learned > raw + 0.15, f"{learned:.3f} against {raw:.3f} without meta-training"


@pytest.mark.parametrize("learner", LEARNERS, ids=name_of)
def test_a_learner_of_pictures_is_pure_small_and_repeatable(learner, base_pictures, new_pictures, tmp_path):
    X, y = base_pictures
    X_new, y_new = new_pictures
    X_new, y_new = X_new[y_new < "c3"], y_new[y_new < "c3"]
    fitted = clone(learner).fit(X, y)
    support = np.arange(len(y_new)) % 12 < 2
    model = FewShotClassifier(learner=FrozenEstimator(fitted)).fit(X_new[support], y_new[support])
    queries = X_new[~support]
    expected = model.predict_proba(queries)
    assert expected.shape == (len(queries), 3)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(model.predict_proba(queries), expected)
    again = FewShotClassifier(learner=FrozenEstimator(clone(learner).fit(X, y))).fit(X_new[support], y_new[support])
    np.testing.assert_allclose(again.predict_proba(queries), expected, atol=1e-6)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(queries), expected, atol=1e-6)
    fitted.save(tmp_path / "learner.safetensors")
    loaded = FewShotClassifier(learner=tmp_path / "learner.safetensors").fit(X_new[support], y_new[support])
    np.testing.assert_allclose(loaded.predict_proba(queries), expected, atol=1e-6)


@pytest.mark.parametrize("learner", [LEARNERS[0], LEARNERS[5]], ids=name_of)
def test_threads_agree(learner, base_pictures, new_pictures):
    fitted = clone(learner).fit(*base_pictures)
    X, y = (part[: 3 * 12] for part in new_pictures)
    state = fitted.adapt_to(X[::6], y[::6])
    expected, found = fitted.logits(state, X), [None] * 4

    def work(i):
        for _ in range(3):
            other = fitted.adapt_to(X[i::7], y[i::7])
            fitted.logits(other, X)
            found[i] = fitted.logits(state, X)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for logits in found:
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_module_of_the_users_is_copied_and_any_input_shape_goes(base_pictures):
    X, y = base_pictures
    module = tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    learner = ProtoNetLearner(module, **FEW, n_episodes=4).fit(X, y)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    codes = learner.transform(X)
    assert codes.shape == (len(X), 8 * 2 * 2)
    np.testing.assert_allclose(learner.transform(X[..., None]), codes, atol=1e-6)
    np.testing.assert_allclose(learner.transform(torch.from_numpy(X)[:, None]), codes, atol=1e-6)
    np.testing.assert_allclose(learner.transform(X[:3]), codes[:3], atol=1e-6)
    flat = ProtoNetLearner(module, **FEW, n_episodes=4, image_shape=(10, 10)).fit(X.reshape(len(X), -1), y)
    np.testing.assert_allclose(flat.transform(X.reshape(len(X), -1)), codes, atol=1e-5)
    adapted = MAMLLearner(module, **FEW, n_episodes=4).fit(X, y)
    assert adapted.logits(adapted.adapt_to(X[::8][:3], y[::8][:3]), X).shape == (len(X), 3)


def test_a_saved_module_is_given_to_load(base_pictures, tmp_path):
    X, y = base_pictures
    learner = ProtoNetLearner(tiny(), **FEW, n_episodes=4).fit(X, y)
    path = tmp_path / "own.safetensors"
    learner.save(path)
    with pytest.raises(ValueError, match=r"modules of its own for \['backbone'\]"):
        sktl.load(path)
    np.testing.assert_allclose(sktl.load(path, backbone=tiny()).transform(X), learner.transform(X), atol=1e-6)
    (tmp_path / "other.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="cannot be loaded: it is damaged"):
        sktl.load(tmp_path / "other.safetensors")


def test_a_backbones_name_starts_from_its_weights(base_pictures):
    X, y = (part[:32] for part in base_pictures)
    learner = ProtoNetLearner(
        "efficientnet_lite0", n_way=2, n_query=1, n_episodes=1, learning_rate=1e-9, image_size=32, random_state=0
    ).fit(X, y)
    assert learner.transform(X[:2]).shape == (2, 1280)


def test_training_stops_on_held_out_classes_and_keeps_the_best_epoch(base_rows, monkeypatch):
    monkeypatch.setattr("sktl.fewshot.meta_training._training.UPDATES_AN_EPOCH", 10)
    learner = ProtoNetLearner(**FEW, n_episodes=400, learning_rate=0.3, schedule=None, validation_fraction=0.3,
                              n_iter_no_change=2).fit(*base_rows)  # fmt: skip
    losses = [row["valid_loss"] for row in learner.history_]
    assert len(losses) < 40
    assert np.argmin(losses) == len(losses) - 3
    assert "valid_accuracy" in learner.history_[0]


def test_a_checkpoint_goes_on_where_training_stopped(base_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("sktl.fewshot.meta_training._training.UPDATES_AN_EPOCH", 5)
    X, y = base_rows
    whole = ProtoNetLearner(**FEW, n_episodes=20).fit(X, y)

    class Interruption(BaseException):
        pass

    from skorch.callbacks import Callback

    class Interrupts(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise Interruption

    path = tmp_path / "training"
    with pytest.raises(Interruption):
        ProtoNetLearner(**FEW, n_episodes=20, checkpoint_dir=path, callbacks=[Interrupts()]).fit(X, y)
    resumed = ProtoNetLearner(**FEW, n_episodes=20, checkpoint_dir=path).fit(X, y)
    assert resumed.n_iter_ == whole.n_iter_ == 20
    assert len(resumed.history_) == 4
    np.testing.assert_allclose(resumed.transform(X), whole.transform(X), atol=1e-6)
    with pytest.warns(CheckpointWarning, match="other data or parameters"):
        other = ProtoNetLearner(**FEW, n_episodes=21, checkpoint_dir=path).fit(X, y)
    assert other.n_iter_ == 21


def test_a_checkpoint_that_cannot_be_written_ends_in_a_warning(base_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("sktl.fewshot.meta_training._training.UPDATES_AN_EPOCH", 5)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(CheckpointWarning, match="No space left on device") as caught:
        learner = ProtoNetLearner(**FEW, n_episodes=20, checkpoint_dir=tmp_path / "training").fit(*base_rows)
    assert len([w for w in caught if w.category is CheckpointWarning]) == 1
    assert learner.n_iter_ == 20
    assert [path.suffix for path in (tmp_path / "training").iterdir()] == [".lock"]


@pytest.mark.parametrize("by", ["zeros", "truncation"])
def test_a_file_changed_after_loading_changes_nothing(by, base_rows, tmp_path):
    X, y = base_rows
    path = tmp_path / "learner.safetensors"
    ProtoNetLearner(**FEW, n_episodes=4).fit(X, y).save(path)
    learner, expected = sktl.load(path), sktl.load(path).transform(X)
    n_bytes = path.stat().st_size
    with open(path, "r+b") as file:  # the same inode
        file.write(bytes(n_bytes)) if by == "zeros" else file.truncate(0)
    np.testing.assert_array_equal(learner.transform(X), expected)


def test_a_file_chooses_no_folders(base_rows, tmp_path):
    path = tmp_path / "learner.safetensors"
    ProtoNetLearner(**FEW, n_episodes=4, checkpoint_dir=tmp_path / "training").fit(*base_rows).save(path)
    tensors, header = read_tensors(path)
    header["params"]["checkpoint_dir"] = str(tmp_path / "elsewhere")
    path.write_bytes(encode_tensors(tensors, header))
    assert sktl.load(path).checkpoint_dir is None


def test_warm_start_goes_on(base_rows):
    X, y = base_rows
    learner = ProtoNetLearner(**FEW, n_episodes=60, warm_start=True, schedule=None).fit(X, y)
    first = learner.history_[-1]["train_loss"]
    assert learner.fit(X, y).history_[-1]["train_loss"] < first


def test_regressions_are_learned_from_groups(lines, tmp_path):
    x, y, task = lines
    learner = MAMLLearner(
        n_shot=5, n_episodes=3000, meta_batch_size=20, inner_learning_rate=0.1, learning_rate=5e-3, random_state=0
    )
    learner.fit(x, y, groups=task)
    new_x = np.linspace(-1, 1, 30)[:, None]
    truth = 2 * new_x[:, 0] - 1
    model = FewShotRegressor(FrozenEstimator(learner)).fit(new_x[::7], truth[::7])
    ridge = FewShotRegressor().fit(new_x[::7], truth[::7])
    assert np.square(model.predict(new_x) - truth).mean() < 0.3 * np.var(truth)
    assert np.square(ridge.predict(new_x) - truth).mean() < 0.3 * np.var(truth)
    whole = FewShotRegressor(FrozenEstimator(learner)).fit([[0.0], [1.0]], [0, 1])  # numbers that are whole
    assert whole.predict(new_x).dtype == np.float64
    learner.save(tmp_path / "lines.safetensors")
    loaded = FewShotRegressor(tmp_path / "lines.safetensors").fit(new_x[::7], truth[::7])
    np.testing.assert_allclose(loaded.predict(new_x), model.predict(new_x))
    with pytest.raises(ValueError, match="meta-trained on regressions: use FewShotRegressor"):
        FewShotClassifier(FrozenEstimator(learner)).fit(new_x[:4], [0, 0, 1, 1])


def test_several_outputs_are_regressed_together(lines):
    x, y, task = lines
    both = np.column_stack([y, -y])
    learner = MAMLLearner(n_shot=5, n_episodes=40, inner_learning_rate=0.1, random_state=0).fit(x, both, groups=task)
    assert FewShotRegressor(FrozenEstimator(learner)).fit(x[:5], both[:5]).predict(x[:7]).shape == (7, 2)


def test_meta_hyperparameters_are_searched_over_class_disjoint_folds(base_rows):
    X, y = base_rows
    scorer = episodic_scorer(n_way=3, n_query=5, n_episodes=40)
    search = GridSearchCV(
        ProtoNetLearner(n_way=5, n_query=5, random_state=0), {"n_episodes": [1, 120]}, cv=GroupKFold(2), scoring=scorer
    ).fit(X, y, groups=y)
    assert search.best_params_ == {"n_episodes": 120}
    one, many = search.cv_results_["mean_test_score"]
    assert many > one + 0.1


@pytest.mark.filterwarnings("ignore:Out of memory with 4 rows")
def test_memory_that_runs_out_halves_the_task_batch(base_rows, monkeypatch):
    from sktl.fewshot.metric_based._base import MetricMethod

    seen, real = [], MetricMethod.loss

    def loss(self, episodes):
        seen.append(len(episodes.support))
        if len(episodes.support) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, episodes)

    monkeypatch.setattr(MetricMethod, "loss", loss)
    with pytest.warns(UserWarning, match="Out of memory with 8 rows at once"):
        learner = ProtoNetLearner(**FEW, n_episodes=16, meta_batch_size=8).fit(*base_rows)
    assert seen[:2] == [8, 4]
    assert seen[-1] == 2
    assert learner.n_iter_ == 2


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (ProtoNetLearner(n_way=13, n_query=1), "n_way=13 classes are drawn for an episode, but there are only 12"),
        (ProtoNetLearner(n_way=3, n_shot=9, n_query=9), r"n_shot \+ n_query = 9 \+ 9 = 18 rows"),
        (ProtoNetLearner("conv5", **FEW), "conv5"),
        (ProtoNetLearner("mlp", **FEW), "backbone='mlp' takes feature rows"),
        (ProtoNetLearner(nn.Linear(7, 3), **FEW), r"backbone cannot take rows of shape \(1, 10, 10\)"),
        (MAMLLearner(order="implicit", learned_rates="step", **FEW), "order='implicit' differentiates the optimum"),
        (ProtoNetLearner(**FEW, validation_fraction=0.95), "holds out 12 and leaves 0 to train on"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(learner, message, base_pictures):
    with pytest.raises(ValueError, match=message):
        learner.fit(*base_pictures)
    assert not hasattr(learner, "n_iter_")


def test_bad_tasks_are_refused(base_rows, new_rows):
    X, y = base_rows
    X_new, y_new = new_rows
    maml = MAMLLearner(**FEW, n_episodes=4).fit(X, y)
    with pytest.raises(ValueError, match=r"has 6 classes, but this MAMLLearner was trained on episodes of at most 3"):
        maml.adapt_to(X_new, y_new)
    with pytest.raises(ValueError, match="NaN"):
        maml.adapt_to(np.full((4, 12), np.nan), [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"X has 5 features, but MAMLLearner is expecting 12"):
        maml.logits(maml.adapt_to(X[::20][:3], y[::20][:3]), X[:, :5])
    with pytest.raises(NotFittedError):
        MAMLLearner().adapt_to(X, y)
    with pytest.raises(ValueError, match=r"continuous: a regression. Its tasks are given as groups"):
        MAMLLearner(**FEW).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="continuous"):
        ProtoNetLearner(**FEW).fit(X, X[:, 0])


def test_the_steps_on_a_new_task_may_be_set_after_training(lines):
    x, y, task = lines
    learner = MAMLLearner(n_shot=5, n_episodes=40, inner_learning_rate=0.05, random_state=0).fit(x, y, groups=task)
    logits = [learner.set_params(adapt_steps=n).logits(learner.adapt_to(x[:8], y[:8]), x[:8])[:, 0] for n in (0, 1, 20)]
    errors = [np.square(out - y[:8]).mean() for out in logits]
    assert errors[0] > errors[1] > errors[2]


def test_an_adaptation_that_diverges_is_told(lines):
    x, y, task = lines
    learner = MAMLLearner(n_shot=5, n_episodes=4, adapt_steps=200, inner_learning_rate=0.01, random_state=0)
    learner.fit(x, y, groups=task)
    with pytest.raises(DivergenceError, match="Adapting this MAMLLearner to the support set left the finite numbers"):
        learner.adapt_to(1e4 * x[:5], y[:5])


def test_fewer_classes_than_trained_for_are_fine(base_rows, new_rows):
    maml = MAMLLearner(n_way=5, n_query=5, n_episodes=8, random_state=0).fit(*base_rows)
    X, y = (part[:40] for part in new_rows)
    model = FewShotClassifier(FrozenEstimator(maml)).fit(X[::10], y[::10])
    assert model.predict_proba(X).shape == (40, 2)


@pytest.mark.parametrize(
    "learner",
    [
        MAMLLearner(**{**FEW, "n_way": (2, 3)}, n_episodes=200, zero_head=True, learned_rates="parameter"),
        MAMLLearner(**FEW, n_episodes=40, zero_head=True, order="implicit"),
        MAMLLearner(**FEW, n_episodes=40, zero_head=True, embedding_size=4),
        ReptileLearner(**FEW, n_shot=4, n_episodes=40, zero_head=True, adapt_steps=10),
    ],
    ids=name_of,
)
def test_from_a_head_of_zeros_a_task_may_have_more_classes_and_names_are_of_no_account(
    learner, base_rows, new_rows, tmp_path
):
    X, y = new_rows
    fitted = clone(learner).fit(*base_rows)
    support = np.arange(len(y)) % 20 < 5
    model = FewShotClassifier(learner=FrozenEstimator(fitted)).fit(X[support], y[support])
    proba = model.predict_proba(X)
    assert proba.shape == (len(X), 6)  # trained on 3
    other = FewShotClassifier(learner=FrozenEstimator(fitted)).fit(X[support], 5 - y[support])
    np.testing.assert_allclose(other.predict_proba(X), proba[:, ::-1], atol=1e-7)
    fitted.save(tmp_path / "learner.safetensors")
    loaded = FewShotClassifier(learner=tmp_path / "learner.safetensors").fit(X[support], y[support])
    np.testing.assert_allclose(loaded.predict_proba(X), proba, atol=1e-7)


def test_nothing_but_the_body_cannot_be_adapted_behind_a_head_of_zeros(base_rows):
    for learner in (MAMLLearner(adapt="body", zero_head=True), ReptileLearner(adapt="body", zero_head=True)):
        with pytest.raises(ValueError, match="no gradient reaches the body"):
            learner.fit(*base_rows)


def test_prototypes_of_the_learner_and_of_the_classifier_agree(base_pictures, new_pictures):
    learner = ProtoNetLearner(**FEW, n_episodes=10).fit(*base_pictures)
    X, y = new_pictures
    one = ProtoNetClassifier(encoder=FrozenEstimator(learner)).fit(X[::6], y[::6])
    other = FewShotClassifier(learner=FrozenEstimator(learner)).fit(X[::6], y[::6])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-4)
