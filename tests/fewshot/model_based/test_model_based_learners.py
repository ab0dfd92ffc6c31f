"""Learners that learn a task within their activations: what they learn, what they must not depend on, bad input."""

import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from torch import nn

import sktl
from sktl.fewshot import (
    CNAPsLearner,
    ConditionalNeuralProcessLearner,
    FewShotClassifier,
    FewShotRegressor,
    InContextLearner,
    MAMLLearner,
    MANNLearner,
    ReptileLearner,
    SNAILLearner,
)
from sktl.fewshot.model_based._random_networks import random_network_codes
from sktl.model_selection import EpisodeSplit, episode_scores

QUICK = {"n_query": 5, "meta_batch_size": 8, "learning_rate": 2e-3, "random_state": 0}
ROW_LEARNERS = {
    "MANN": MANNLearner(**QUICK, n_episodes=1200, hidden=64, n_slots=20, n_heads=1),
    "SNAIL": SNAILLearner(**{**QUICK, "learning_rate": 4e-3}, n_episodes=1600, filters=16),
    "CNP": ConditionalNeuralProcessLearner(**QUICK, n_episodes=1200, hidden=64),
    "in context": InContextLearner(**QUICK, n_episodes=400, width=32, normalise=False),
    "CNAPs": CNAPsLearner(**QUICK, n_episodes=1200),
}
FEW = {"n_way": 3, "n_query": 4, "n_episodes": 12, "random_state": 0}
SMALL = {
    "MANN": MANNLearner(**FEW, hidden=16, n_slots=16, slot_size=8, n_heads=2),
    "SNAIL": SNAILLearner(**FEW, filters=8),
    "CNP": ConditionalNeuralProcessLearner(**FEW, hidden=16),
    "in context": InContextLearner(**FEW, width=16, n_heads=2),
    "CNAPs": CNAPsLearner(**FEW, hidden=8),
}
SETS = ("CNP", "in context", "CNAPs")  # no order of rows, no number of classes
SEQUENCES = ("MANN", "SNAIL")


@pytest.fixture(scope="module")
def fitted(base_rows):
    return {name: clone(learner).fit(*base_rows) for name, learner in SMALL.items()}


@pytest.mark.parametrize("name", ROW_LEARNERS)
def test_what_tasks_share_is_learned(name, base_rows, new_rows):
    """Three of twelve features tell classes apart, in the classes to come too."""
    options = {"n_way": 5, "n_query": 10, "n_episodes": 100}
    raw = episode_scores(FewShotClassifier("prototypes"), *new_rows, **options).mean
    learned = episode_scores(clone(ROW_LEARNERS[name]).fit(*base_rows), *new_rows, **options).mean
    assert learned > raw + 0.15, f"{learned:.3f} against {raw:.3f} without meta-training"


@pytest.mark.parametrize("name", SMALL)
def test_a_learner_of_pictures_is_pure_small_and_repeatable(name, few_base_pictures, few_new_pictures, tmp_path):
    X, y = few_base_pictures
    X_new, y_new = few_new_pictures
    learner = clone(SMALL[name]).fit(X, y)
    support = np.arange(len(y_new)) % 12 < 2
    model = FewShotClassifier(learner=FrozenEstimator(learner)).fit(X_new[support], y_new[support])
    queries = X_new[~support]
    expected = model.predict_proba(queries)
    assert expected.shape == (len(queries), 3)
    np.testing.assert_array_equal(model.predict_proba(queries), expected)
    np.testing.assert_allclose(model.predict_proba(queries[:1]), expected[:1], atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(queries), expected, atol=1e-6)
    again = FewShotClassifier(learner=FrozenEstimator(clone(SMALL[name]).fit(X, y))).fit(X_new[support], y_new[support])
    np.testing.assert_allclose(again.predict_proba(queries), expected, atol=1e-6)
    learner.save(tmp_path / "learner.safetensors")
    loaded = FewShotClassifier(learner=tmp_path / "learner.safetensors").fit(X_new[support], y_new[support])
    np.testing.assert_allclose(loaded.predict_proba(queries), expected, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_many_episodes_at_once_are_each_by_itself(name, fitted, new_rows):
    X, y = new_rows
    sampler = EpisodeSplit(n_way=3, n_shot=(1, 3), n_query=2).sampler(y)
    episodes = sampler.draw(6)
    assert bool((episodes.support_y < 0).any())  # shots differ, so there is padding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        together = fitted[name].episode_logits(X, episodes)
        for i, logits in enumerate(together):
            real = episodes.support_y[i] >= 0
            state = fitted[name].adapt_to(X[episodes.support[i][real]], episodes.support_y[i][real])
            alone = fitted[name].logits(state, X[episodes.query[i]])
            np.testing.assert_allclose(logits, alone, atol=1e-8)


@pytest.mark.parametrize("name", SETS)
def test_the_order_of_rows_and_the_names_of_classes_do_not_matter(name, fitted, new_rows):
    X, y = (part[: 4 * 20] for part in new_rows)
    rng = np.random.default_rng(0)
    support = rng.permutation(len(X))[:15]
    expected = FewShotClassifier(FrozenEstimator(fitted[name])).fit(X[support], y[support]).predict_proba(X)
    other = rng.permutation(support)
    shuffled = FewShotClassifier(FrozenEstimator(fitted[name])).fit(X[other], y[other]).predict_proba(X)
    np.testing.assert_allclose(shuffled, expected, atol=1e-10)
    renamed = FewShotClassifier(FrozenEstimator(fitted[name])).fit(X[support], -y[support]).predict_proba(X)
    np.testing.assert_allclose(renamed[:, ::-1], expected, atol=1e-10)


@pytest.mark.parametrize("name", SETS)
def test_more_classes_than_trained_for_are_fine_without_a_fixed_head(name, fitted, new_rows):
    X, y = new_rows
    assert FewShotClassifier(FrozenEstimator(fitted[name])).fit(X[::5], y[::5]).predict_proba(X).shape == (len(X), 6)


@pytest.mark.parametrize("name", SEQUENCES)
def test_more_classes_than_outputs_are_refused_and_fewer_fine(name, fitted, new_rows):
    X, y = new_rows
    with pytest.raises(ValueError, match=r"has 6 classes, but this \w+ was trained on episodes of at most 3"):
        fitted[name].adapt_to(X[::20], y[::20])
    model = FewShotClassifier(FrozenEstimator(fitted[name])).fit(X[[0, 20]], y[[0, 20]])
    assert model.predict_proba(X).shape == (len(X), 2)


@pytest.mark.parametrize(
    ("name", "n_rows", "message"),
    [
        ("MANN", 9, r"9 rows is larger than this MANNLearner's memory holds: 16 slots, 2 for each row"),
        ("SNAIL", 4, r"4 rows is longer than any that this SNAILLearner was trained on \(3\)"),
    ],
)
def test_a_support_set_beyond_what_was_trained_for_is_answered_with_a_warning(name, n_rows, message, fitted, new_rows):
    X, y = (part[: 2 * 20] for part in new_rows)
    fits, is_too_large = (np.arange(40) < n_rows - 1), (np.arange(40) < n_rows)
    y = np.arange(40) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted[name].adapt_to(X[fits], y[fits])
    with pytest.warns(UserWarning, match=message):
        state = fitted[name].adapt_to(X[is_too_large], y[is_too_large])
    assert np.isfinite(fitted[name].logits(state, X)).all()


@pytest.mark.parametrize("name", SEQUENCES)
def test_episodes_are_shuffled_in_training_and_not_after(name, fitted):
    method = fitted[name]._learned.trainable()
    x, y = torch.randn(1, 6, 12, generator=torch.Generator().manual_seed(0)), torch.tensor([[0, 1, 2, 0, 1, 2]])

    def answers():
        return method.logits(method.adapt(x, y, 3), x)

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        method.train()
        assert not torch.allclose(answers(), answers())
        method.eval()
        torch.testing.assert_close(answers(), answers())


@pytest.mark.parametrize("name", SEQUENCES)
def test_targets_are_as_long_as_codes_and_codes_are_centred(name, fitted, base_rows, monkeypatch):
    method = fitted[name]._learned.trainable()
    codes = torch.from_numpy(base_rows[0]).float()
    method.train()
    codes = method.encoded(codes).detach()
    method.eval()
    np.testing.assert_allclose(codes.mean(0).numpy(), 0, atol=1e-5)
    read = []
    monkeypatch.setattr(method, "read", lambda sequence, is_real: read.append(sequence) or {})
    method.adapt_codes(codes[None], torch.arange(len(codes))[None] % 3, 3)
    of_code, of_target = read[0][0].split([codes.shape[1], method.n_outputs], -1)
    length = of_target.norm(dim=-1).mean().item()
    assert of_code.square().sum(-1).mean().sqrt().item() == pytest.approx(length, rel=0.05)


def test_threads_agree(fitted, new_rows):
    learner = fitted["CNAPs"]
    X, y = (part[:60] for part in new_rows)
    state = learner.adapt_to(X[::6], y[::6])
    expected, found = learner.logits(state, X), [None] * 4

    def work(i):
        for _ in range(3):
            learner.logits(learner.adapt_to(X[i::7], y[i::7]), X)
            found[i] = learner.logits(state, X)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for logits in found:
        np.testing.assert_allclose(logits, expected, atol=1e-10)


POINTS = {"n_shot": 10, "n_query": 10, "random_state": 0}
REGRESSORS = {
    "MANN": MANNLearner(**POINTS, n_episodes=32, hidden=16, n_slots=40, slot_size=8),
    "SNAIL": SNAILLearner(**POINTS, n_episodes=32, filters=8),
    "CNP": ConditionalNeuralProcessLearner(**POINTS, n_episodes=4800, hidden=64, learning_rate=3e-3),
    "MAML": MAMLLearner(
        **POINTS, n_episodes=2000, meta_batch_size=20, inner_learning_rate=0.05, learning_rate=5e-3, adapt_steps=3
    ),
    "Reptile": ReptileLearner(
        **POINTS, n_episodes=600, inner_learning_rate=0.02, inner_optimizer="sgd", adapt_steps=20
    ),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressions(name, sines, tmp_path):
    x, y, task = sines
    learner = clone(REGRESSORS[name]).fit(x, y, groups=task)
    model = FewShotRegressor(FrozenEstimator(learner)).fit(x[:10], y[:10])
    assert model.predict(x[:20]).shape == (20,)
    learner.save(tmp_path / "sines.safetensors")
    loaded = FewShotRegressor(tmp_path / "sines.safetensors").fit(x[:10], y[:10])
    np.testing.assert_allclose(loaded.predict(x[:20]), model.predict(x[:20]), atol=1e-6)
    if name in ("CNP", "MAML", "Reptile"):
        error = episode_scores(learner, x, y, groups=task, n_shot=10, n_query=10, n_episodes=100).mean
        assert error < 0.8 * y.var()


def test_values_of_any_scale_are_learned_alike(sines):
    x, y, task = sines
    one, other = (
        ConditionalNeuralProcessLearner(n_shot=5, n_episodes=160, hidden=16, random_state=0).fit(x, values, groups=task)
        for values in (y, 1e3 * y + 1e4)
    )
    expected = one.logits(one.adapt_to(x[:5], y[:5]), x[:20])
    found = other.logits(other.adapt_to(x[:5], 1e3 * y[:5] + 1e4), x[:20])
    np.testing.assert_allclose((found - 1e4) / 1e3, expected, atol=1e-3)


def test_a_process_knows_how_sure_it_is(sines):
    """Errors are about as large as the deviations say, which are smaller than those of the values."""
    x, y, task = sines
    learner = clone(REGRESSORS["CNP"]).fit(x, y, groups=task)
    ratios, spreads = [], []
    for number in range(40):
        x_task, y_task = x[task == number], y[task == number]
        state = learner.adapt_to(x_task[:10], y_task[:10])
        spread = learner.deviations(state, x_task[10:])
        assert spread.shape == (10, 1)
        ratios.append((learner.logits(state, x_task[10:])[:, 0] - y_task[10:]) / spread[:, 0])
        spreads.append(spread)
    assert 0.6 < np.std(ratios) < 1.6
    assert 0 < np.mean(spreads) < 0.9 * y.std()


def test_deviations_are_of_gaussian_regressions_only(fitted, sines, new_rows):
    x, y, task = sines
    X, labels = new_rows
    with pytest.raises(ValueError, match="was trained on classes"):
        fitted["CNP"].deviations(fitted["CNP"].adapt_to(X[:40:10], labels[:40:10]), X)
    plain = ConditionalNeuralProcessLearner(n_shot=5, n_episodes=16, likelihood="squared").fit(x, y, groups=task)
    with pytest.raises(ValueError, match="likelihood='squared'"):
        plain.deviations(plain.adapt_to(x[:5], y[:5]), x)


def test_before_training_the_transformer_and_the_modulated_network_are_prototypical(base_rows, new_rows):
    X, y = new_rows
    support = np.arange(len(y)) % 20 < 2
    with torch.random.fork_rng(devices=[]):
        body = nn.Sequential(nn.Linear(12, 7))
    for learner in (InContextLearner(width=12, normalise=False), CNAPsLearner(body)):
        learner.set_params(n_way=3, n_query=2, n_episodes=1, learning_rate=1e-12, random_state=0).fit(*base_rows)
        method = learner._learned.module(torch.device("cpu"), torch.float64)
        codes = method.norm(method.encoder(torch.from_numpy(X))).numpy()
        expected = FewShotClassifier("prototypes").fit(codes[support], y[support]).predict(codes)
        model = FewShotClassifier(FrozenEstimator(learner)).fit(X[support], y[support])
        np.testing.assert_array_equal(model.predict(X), expected)


def test_with_tasks_of_random_networks_alone_data_give_but_the_shape_of_a_row(base_rows):
    X, y = base_rows
    learners = [
        InContextLearner(**FEW, width=16, n_heads=2, synthetic=1.0).fit(rows, y) for rows in (X, X[::-1].copy())
    ]
    one, other = (learner._learned.tensors for learner in learners)
    assert all(torch.equal(one[name], other[name]) for name in one if not name.startswith("encoder."))
    real = clone(learners[0]).set_params(synthetic=0.0).fit(X, y)._learned.tensors
    assert not torch.equal(one["token.weight"], real["token.weight"])


def test_tasks_of_random_networks_are_clouds_that_can_be_told_apart():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        labels = torch.arange(5).repeat_interleave(20).expand(40, -1)
        codes = random_network_codes(labels, 5, 12)
        others = random_network_codes(labels, 5, 12)
    assert codes.shape == (40, 100, 12)
    torch.testing.assert_close(codes.mean((1, 2)), torch.zeros(40), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.std((1, 2)), torch.ones(40), atol=1e-5, rtol=0)
    assert not torch.allclose(codes, others)
    scores = [
        FewShotClassifier("prototypes")
        .fit(task[::2].numpy(), y[::2].numpy())
        .score(task[1::2].numpy(), y[1::2].numpy())
        for task, y in zip(codes, labels)
    ]
    assert 0.5 < np.mean(scores) < 0.95


@pytest.mark.slow
def test_tasks_of_random_networks_alone_teach_to_beat_prototypes(base_rows):
    """On tasks of networks that were not seen: the classes' means are not all that a support set says."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        labels = torch.arange(5).repeat_interleave(20).expand(150, -1)
        codes = random_network_codes(labels, 5, 12).double()
    support = torch.arange(100) % 20 < 10
    learner = InContextLearner(
        nn.Identity(), n_shot=10, n_query=5, n_episodes=16000, width=64, n_layers=3, normalise=False, synthetic=1.0,
        random_state=0,
    ).fit(*base_rows)  # fmt: skip
    models = FewShotClassifier(FrozenEstimator(learner)), FewShotClassifier("prototypes")
    gains = np.array([
        np.subtract(*(
            model.fit(task[support].numpy(), y[support].numpy()).score(task[~support].numpy(), y[~support].numpy())
            for model in models
        ))
        for task, y in zip(codes, labels)
    ])  # fmt: skip
    assert gains.mean() - 1.96 * gains.std() / np.sqrt(len(gains)) > 0.02


def test_a_frozen_backbone_stays_and_is_no_part_of_what_is_saved(few_base_pictures, tmp_path):
    X, y = (part[:32] for part in few_base_pictures)
    learner = CNAPsLearner(
        "efficientnet_lite0", n_way=2, n_query=1, n_episodes=8, image_size=32, hidden=8, random_state=0
    ).fit(X, y)
    names = list(learner._learned.tensors)
    assert not any(name.startswith("encoder.network") for name in names)
    assert any(name.startswith("film") for name in names)
    state = learner.adapt_to(X[:16:4], y[:16:4])
    modulated = [name for name in state.tensors if name.startswith("factor:")]
    assert len(modulated) == 8
    assert any(float(state.tensors[name].abs().max()) > 0 for name in modulated)
    path = tmp_path / "cnaps.safetensors"
    learner.save(path)
    assert path.stat().st_size < 5e6
    np.testing.assert_allclose(sktl.load(path).logits(state, X), learner.logits(state, X), atol=1e-5)


def test_a_network_with_nothing_to_modulate_is_refused(base_rows):
    with pytest.raises(ValueError, match="backbone has no layer to modulate"):
        CNAPsLearner(nn.Identity(), **FEW).fit(*base_rows)


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (MANNLearner(n_heads=9, n_slots=8, **FEW), "n_heads=9 write to a slot each"),
        (InContextLearner(width=30, n_heads=4, **FEW), "n_heads=4 must divide width=30"),
        (MAMLLearner(order="implicit", embedding_size=4, **FEW), "knows the gradient of one start"),
        (SNAILLearner(**{**FEW, "n_way": 13}), "n_way=13 classes are drawn for an episode, but there are only 12"),
        (MANNLearner(**FEW, n_shot=30), r"n_shot \+ n_query = 30 \+ 4"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(learner, message, base_rows):
    with pytest.raises(ValueError, match=message):
        learner.fit(*base_rows)
    assert not hasattr(learner, "n_iter_")


@pytest.mark.parametrize("name", SMALL)
def test_bad_tasks_are_refused(name, fitted, new_rows):
    X, y = new_rows
    with pytest.raises(ValueError, match="NaN"):
        fitted[name].adapt_to(np.full((4, 12), np.nan), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="X has 5 features"):
        fitted[name].adapt_to(X[:3, :5], y[:3])
    with pytest.raises(ValueError, match="at least 2 classes"):
        FewShotClassifier(FrozenEstimator(fitted[name])).fit(X[:3], y[:3])
    if not fitted[name].takes_values:
        with pytest.raises(ValueError, match="continuous"):
            clone(SMALL[name]).fit(X, X[:, 0])
