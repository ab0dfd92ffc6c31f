"""The LSTM meta-learner: its cell, its meta-gradient, what it learns, bad input."""

import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from torch import nn

import sktl
from sktl.fewshot import FewShotClassifier, FewShotRegressor, MetaLSTMLearner
from sktl.fewshot.meta_training._encoders import Encoder, EncoderPlan
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._inputs import InputSpec
from sktl.fewshot.optimisation_based._meta_lstm import KEPT, MetaLSTM, MetaLSTMMethod, preprocessed
from sktl.model_selection import EpisodeSplit, episode_scores

OPTIONS = {
    "part": "all", "batch_norm": "inductive", "inner_steps": 3, "adapt_steps": 3, "hidden": 5,
    "inner_learning_rate": 0.1,
}  # fmt: skip


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def loud(rule):
    """Draw the gates' weights anew, large, and open the gates half: so that what goes into them matters."""
    for parameter in (rule.gates.weight, rule.gates.bias, rule.before):
        nn.init.normal_(parameter, std=0.7)
    return rule


def tanh_network(**options):
    """A smooth network of 3 inputs and 2 outputs, in float64."""

    def build():
        encoder = Encoder(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), torch.zeros(1, 3), torch.ones(1, 3))
        encoder.code_shape = (4,)
        method = MetaLSTMMethod(encoder, 2, **{**OPTIONS, **options})
        loud(method.rule)
        return method.double()

    return seeded(build)


def conv_network(**options):
    def build():
        module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(3))
        encoder = EncoderPlan(module, InputSpec("pictures", (1, 8, 8)), 0, is_adapted=True).build()
        method = MetaLSTMMethod(encoder, 2, **{**OPTIONS, **options})
        loud(method.rule)
        return method.double()

    return seeded(build)


def labels(n_tasks, n):
    return torch.arange(n).remainder(2).repeat(n_tasks, 1)


def row_tasks(n_tasks=3):
    g = torch.Generator().manual_seed(0)
    support, query = (torch.randn(n_tasks, n, 3, generator=g, dtype=torch.float64) for n in (4, 6))
    return Episodes(support, labels(n_tasks, 4), query, labels(n_tasks, 6), 2)


def picture_tasks(n_tasks=3):
    g = torch.Generator().manual_seed(0)
    support, query = (torch.rand(n_tasks, n, 1, 8, 8, generator=g, dtype=torch.float64) * 255 for n in (4, 6))
    return Episodes(support, labels(n_tasks, 4), query, labels(n_tasks, 6), 2)


def as_regression(episodes):
    return episodes._replace(support_y=episodes.support[..., :2].square(), query_y=episodes.query[..., :2].square())


def gradients(method, episodes):
    method.zero_grad()
    result = method.loss(episodes)
    result.loss.backward()
    return result.loss.item(), {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


# The cell, number by number, with NumPy.


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_prep(x):
    if abs(x) >= math.exp(-10):
        return [math.log(abs(x)) / 10, math.copysign(1, x)]
    return [-1.0, math.exp(10) * x]


def numpy_steps(rule, weights, slopes, losses):
    """Return the weights after each step, one weight at a time."""
    p = {name: value.detach().numpy() for name, value in rule.state_dict().items()}
    n_hidden = rule.hidden
    paths = []
    for j, c in enumerate(weights):
        h, m, i, f = np.zeros(n_hidden), np.zeros(n_hidden), 0.0, 0.0
        path = []
        for slope, loss in zip(slopes, losses):
            z = p["units.weight"] @ [*numpy_prep(slope[j]), *numpy_prep(loss[j]), *h] + p["units.bias"]
            z_in, z_forget, z_out, z_cell = z.reshape(4, n_hidden)
            m = sigmoid(z_forget) * m + sigmoid(z_in) * np.tanh(z_cell)
            h = sigmoid(z_out) * np.tanh(m)
            i = sigmoid(p["gates.weight"][0] @ [*h, c] + p["before"][0, 0] * i + p["gates.bias"][0])
            f = sigmoid(p["gates.weight"][1] @ [*h, c] + p["before"][1, 0] * f + p["gates.bias"][1])
            c = f * c + i * -slope[j]
            path.append(c)
        paths.append(path)
    return np.array(paths).T


def test_preprocessing_is_the_papers():
    values = [0.0, 3.0, -0.02, 1e-4, -1e-5, 1e-9, -2e6]
    found = preprocessed(torch.tensor(values, dtype=torch.float64))
    np.testing.assert_allclose(found.T, list(map(numpy_prep, values)))


def test_the_cell_is_a_plain_computation():
    rule = seeded(lambda: loud(MetaLSTM(6, 0.1)).double())
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(4, 7)) * 10.0 ** rng.integers(-7, 2, (4, 7))
    weights, losses = rng.normal(size=7), rng.uniform(0.1, 3, (4, 7))
    expected = numpy_steps(rule, weights, slopes, losses)
    now, state = torch.from_numpy(weights), None
    for slope, loss, after in zip(slopes, losses, expected):
        now, state = rule(now, torch.from_numpy(slope), torch.from_numpy(loss), state)
        np.testing.assert_allclose(now.detach(), after, rtol=1e-12)
    assert (np.ptp(state.gates.detach().numpy(), axis=1) > 0.05).all()  # the gates do differ


@pytest.mark.parametrize("rate", [0.003, 0.1])
def test_before_training_a_step_is_about_one_of_gradient_descent(rate):
    rule = seeded(lambda: MetaLSTM(20, rate).double())
    g = torch.Generator().manual_seed(0)
    weights, slopes = torch.randn(2, 500, generator=g, dtype=torch.float64)
    with torch.no_grad():
        after, state = rule(weights, slopes, torch.ones(500, dtype=torch.float64))
    kept = sigmoid(KEPT)
    np.testing.assert_allclose(after, kept * weights - rate * slopes, atol=0.1 * rate * 4 + 0.002)
    np.testing.assert_allclose(state.gates[0], rate, rtol=0.1)
    np.testing.assert_allclose(state.gates[1], kept, atol=0.001)
    assert kept > 0.99


# The meta-gradient.


def plain_meta_lstm(method, episodes, *, constants):
    """The method as a textbook loop, task by task, weight matrix by weight matrix."""
    names = [name for name, _ in method.network.named_parameters()]
    start = [p.detach().clone().requires_grad_() for p in method.network.parameters()]
    rule = method.rule
    rule.zero_grad()

    def forward(weights, x):
        w = dict(zip(names, weights))
        codes = torch.tanh(F.linear(x, w["body.network.0.weight"], w["body.network.0.bias"]))
        return F.linear(codes, w["head.weight"], w["head.bias"])

    losses = []
    for x, y, query, query_y in zip(*episodes[:4]):
        weights, states = start, [None] * len(start)
        for _ in range(method.inner_steps):
            loss = F.cross_entropy(forward(weights, x), y)
            slopes = torch.autograd.grad(loss, weights, create_graph=not constants, retain_graph=True)
            if constants:
                loss, slopes = loss.detach(), [slope.detach() for slope in slopes]
            after = []
            for k, (weight, slope) in enumerate(zip(weights, slopes)):
                flat = weight.flatten()
                new, states[k] = rule(flat, slope.flatten(), loss.expand(len(flat)), states[k])
                after.append(new.view_as(weight))
            weights = after
        losses.append(F.cross_entropy(forward(weights, query), query_y))
    torch.stack(losses).mean().backward()
    found = {f"network.{name}": value.grad for name, value in zip(names, start)}
    return found | {f"rule.{name}": p.grad.clone() for name, p in rule.named_parameters()}


@pytest.mark.parametrize("vectorised", [True, False])
def test_gradients_and_losses_are_constants_to_the_meta_gradient(vectorised):
    method, episodes = tanh_network(vectorised=vectorised), row_tasks()
    _, found = gradients(method, episodes)
    first, second = (plain_meta_lstm(tanh_network(), episodes, constants=c) for c in (True, False))
    assert found.keys() == first.keys()
    for name, expected in first.items():
        torch.testing.assert_close(found[name], expected, atol=1e-12, rtol=1e-8)
        assert expected.abs().max() > 0, name
    # against second derivatives, so that the test can fail
    assert any((found[name] - second[name]).abs().max() > 1e-4 for name in found)


@pytest.mark.parametrize("part", ["head", "body"])
def test_only_a_part_is_changed_and_everything_is_learned(part):
    method, episodes = tanh_network(part=part), row_tasks()
    _, found = gradients(method, episodes)
    assert all(slope.abs().max() > 0 for slope in found.values())
    assert {name for name, _ in method.named_parameters()} == found.keys()
    state = method.adapt(episodes.support, episodes.support_y, 2)
    assert all(name.startswith("weight:head.") is (part == "head") for name in state)


# Tasks together, and one after another.


@pytest.mark.parametrize("batch_norm", ["inductive", "transductive"])
@pytest.mark.parametrize("network", ["rows", "pictures", "values"])
def test_tasks_together_are_one_after_another(network, batch_norm):
    build, episodes = {
        "rows": (tanh_network, row_tasks()),
        "pictures": (conv_network, picture_tasks()),
        "values": (tanh_network, as_regression(row_tasks())),
    }[network]
    together, apart = (build(vectorised=v, batch_norm=batch_norm) for v in (True, False))
    (loss_a, a), (loss_b, b) = gradients(together, episodes), gradients(apart, episodes)
    assert loss_a == pytest.approx(loss_b, abs=1e-10)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-9, rtol=1e-6)
    states = [method.adapt(episodes.support, episodes.support_y, 2) for method in (together, apart)]
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], atol=1e-10, rtol=1e-8)
    alone = together.adapt(episodes.support[1:2], episodes.support_y[1:2], 2)
    torch.testing.assert_close(
        together.logits(alone, episodes.query[1:2])[0], together.logits(states[0], episodes.query)[1], atol=1e-9, rtol=0
    )


def test_a_state_predicts_what_the_loss_saw():
    method, episodes = conv_network(), picture_tasks()
    state = method.adapt(episodes.support, episodes.support_y, 2)
    loss = F.cross_entropy(method.logits(state, episodes.query).flatten(0, 1), episodes.query_y.flatten())
    assert method.loss(episodes).loss.item() == pytest.approx(loss.item(), abs=1e-10)


@pytest.mark.parametrize(("batch_norm", "depends"), [("inductive", False), ("transductive", True)])
def test_only_transductive_predictions_depend_on_their_company(batch_norm, depends):
    method, episodes = conv_network(batch_norm=batch_norm), picture_tasks()
    state = method.adapt(episodes.support, episodes.support_y, 2)
    alone = method.logits(state, episodes.query[:, :2])
    among = method.logits(state, episodes.query)[:, :2]
    assert torch.allclose(alone, among, atol=1e-10) is not depends


# The learner.

FEW = {"n_way": 3, "n_query": 4, "n_episodes": 12, "random_state": 0}
REGRESSION = {"n_shot": 10, "n_query": 10, "meta_batch_size": 10, "learning_rate": 5e-3, "random_state": 0}


def small(n_features, n_units):
    return seeded(lambda: nn.Sequential(nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, 20), nn.ReLU()))


def test_regressions_are_learned(sines):
    """After meta-training the steps lead far below the start, and below where the steps led before."""
    x, y, task = sines
    learner = MetaLSTMLearner(small(1, 20), **REGRESSION, hidden=10, n_episodes=4000)
    untrained = clone(learner).set_params(learning_rate=1e-9, n_episodes=10).fit(x, y, groups=task)
    learner.fit(x, y, groups=task)
    options = {"groups": task, "n_shot": 10, "n_query": 10, "n_episodes": 100}
    after, before = (episode_scores(each, x, y, **options).mean for each in (learner, untrained))
    at_start = episode_scores(learner.set_params(adapt_steps=0), x, y, **options).mean
    assert after < 0.6 * at_start
    assert after < 0.6 * before


def test_classes_are_learned(base_rows, new_rows):
    """Three of twelve features tell classes apart, in the classes to come too."""
    options = {"n_way": 3, "n_shot": 3, "n_query": 10, "n_episodes": 100}
    learner = MetaLSTMLearner(
        small(12, 20), n_way=3, n_shot=3, n_query=10, meta_batch_size=8, n_episodes=1200, learning_rate=5e-3,
        inner_learning_rate=0.1, random_state=0,
    )  # fmt: skip
    untrained = clone(learner).set_params(learning_rate=1e-9, n_episodes=8).fit(*base_rows)
    before, after = (episode_scores(each, *new_rows, **options).mean for each in (untrained, learner.fit(*base_rows)))
    at_start = episode_scores(learner.set_params(adapt_steps=0), *new_rows, **options).mean
    assert after > before + 0.15, f"{after:.3f} against {before:.3f} without meta-training"
    assert after > at_start + 0.25, f"{after:.3f} against {at_start:.3f} without steps"


def test_a_learner_of_pictures_is_pure_and_repeatable(few_base_pictures, few_new_pictures, tmp_path):
    X, y = (part[:40] for part in few_base_pictures)
    X_new, y_new = few_new_pictures
    learner = MetaLSTMLearner(**FEW, inner_steps=2, hidden=6).fit(X, y)
    support = np.arange(len(y_new)) % 12 < 2
    model = FewShotClassifier(learner=FrozenEstimator(learner)).fit(X_new[support], y_new[support])
    queries = X_new[~support]
    expected = model.predict_proba(queries)
    assert expected.shape == (len(queries), 3)
    np.testing.assert_array_equal(model.predict_proba(queries), expected)
    np.testing.assert_allclose(model.predict_proba(queries[:1]), expected[:1], atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(queries), expected, atol=1e-6)
    again = FewShotClassifier(learner=FrozenEstimator(clone(learner).fit(X, y))).fit(X_new[support], y_new[support])
    np.testing.assert_allclose(again.predict_proba(queries), expected, atol=1e-6)
    learner.save(tmp_path / "learner.safetensors")
    loaded = FewShotClassifier(learner=tmp_path / "learner.safetensors").fit(X_new[support], y_new[support])
    np.testing.assert_allclose(loaded.predict_proba(queries), expected, atol=1e-6)


def test_a_learner_of_regressions_is_saved_whole(sines, tmp_path):
    x, y, task = sines
    learner = MetaLSTMLearner(**REGRESSION, n_episodes=40, hidden=7, inner_steps=3).fit(x, y, groups=task)
    learner.save(tmp_path / "sines.safetensors")
    loaded = sktl.load(tmp_path / "sines.safetensors")
    assert isinstance(loaded, MetaLSTMLearner)
    assert (loaded.hidden, loaded.inner_steps) == (7, 3)
    model, other = (FewShotRegressor(FrozenEstimator(each)).fit(x[:10], y[:10]) for each in (learner, loaded))
    np.testing.assert_allclose(other.predict(x[:20]), model.predict(x[:20]), atol=1e-6)
    np.testing.assert_array_equal(model.predict(x[:20]), model.predict(x[:20]))


def test_many_episodes_at_once_are_each_by_itself(base_rows, new_rows):
    learner = MetaLSTMLearner(**FEW, inner_steps=2, hidden=6).fit(*base_rows)
    X, y = new_rows
    episodes = EpisodeSplit(n_way=3, n_shot=(1, 3), n_query=2).sampler(y).draw(6)
    assert bool((episodes.support_y < 0).any())  # shots differ, so there is padding
    for i, logits in enumerate(learner.episode_logits(X, episodes)):
        real = episodes.support_y[i] >= 0
        state = learner.adapt_to(X[episodes.support[i][real]], episodes.support_y[i][real])
        np.testing.assert_allclose(logits, learner.logits(state, X[episodes.query[i]]), atol=1e-8)


def test_steps_on_a_new_task_may_be_set_anew(base_rows, new_rows):
    learner = MetaLSTMLearner(**FEW, inner_steps=2, inner_learning_rate=0.3).fit(*base_rows)
    X, y = (part[:60] for part in new_rows)

    def answers(steps):
        learner.set_params(adapt_steps=steps)
        return learner.logits(learner.adapt_to(X[::6], y[::6]), X)

    np.testing.assert_array_equal(answers(None), answers(2))
    start = learner._learned.module(torch.device("cpu"), torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(answers(0), start.network(torch.from_numpy(X)), atol=1e-12)
    assert np.abs(answers(4) - answers(2)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner_steps": 0}, "'inner_steps' parameter of MetaLSTMLearner must be"),
        ({"adapt_steps": -1}, "'adapt_steps' parameter of MetaLSTMLearner must be"),
        ({"hidden": 0}, "'hidden' parameter of MetaLSTMLearner must be"),
        ({"inner_learning_rate": 0.0}, "'inner_learning_rate' parameter of MetaLSTMLearner must be"),
        ({"inner_learning_rate": 1.0}, "'inner_learning_rate' parameter of MetaLSTMLearner must be"),
        ({"adapt": "none"}, "'adapt' parameter of MetaLSTMLearner must be"),
        ({"batch_norm": "running"}, "'batch_norm' parameter of MetaLSTMLearner must be"),
        ({"n_way": 13}, "n_way=13 classes are drawn for an episode, but there are only 12"),
    ],
)
def test_bad_parameters_are_refused(options, message, base_rows):
    learner = MetaLSTMLearner(**FEW | options)
    with pytest.raises(ValueError, match=message):
        learner.fit(*base_rows)
    assert not hasattr(learner, "n_iter_")


def test_bad_tasks_are_refused(base_rows, new_rows, sines):
    learner = MetaLSTMLearner(**FEW, inner_steps=2).fit(*base_rows)
    X, y = new_rows
    with pytest.raises(ValueError, match="NaN"):
        learner.adapt_to(np.full((4, 12), np.nan), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="X has 5 features"):
        learner.adapt_to(X[:3, :5], y[:3])
    with pytest.raises(
        ValueError, match="has 6 classes, but this MetaLSTMLearner was trained on episodes of at most 3"
    ):
        learner.adapt_to(X[::20], y[::20])
    x, values, task = sines
    line = MetaLSTMLearner(**REGRESSION, n_episodes=10).fit(x, values, groups=task)
    with pytest.raises(ValueError, match=r"as large as 1e\+200.*Scale the rows"):
        line.adapt_to(x[:10], np.full(10, 1e200))
