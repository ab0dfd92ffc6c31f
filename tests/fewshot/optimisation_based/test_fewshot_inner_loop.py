"""Gradients through, past and at the end of inner loops, against finite differences and plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.func import grad

from sktl.fewshot.meta_training._encoders import Encoder, EncoderPlan
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._inputs import InputSpec
from sktl.fewshot.optimisation_based._inner_loop import InnerLoop, conjugate_gradient, implicit_gradient, learn_task
from sktl.fewshot.optimisation_based._maml_method import MAMLMethod
from sktl.fewshot.optimisation_based._reptile import ReptileMethod

MAML = {
    "part": "all", "batch_norm": "inductive", "inner_steps": 2, "adapt_steps": 2, "inner_learning_rate": 0.3,
    "order": 2, "learned_rates": None, "multi_step_updates": 0, "proximal": 1.0, "cg_steps": 5,
}  # fmt: skip


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def tanh_network(**options):
    """A smooth network of 3 inputs and 2 outputs, in float64."""

    def build():
        encoder = Encoder(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), torch.zeros(1, 3), torch.ones(1, 3))
        encoder.code_shape = (4,)
        return MAMLMethod(encoder, 2, **{**MAML, **options}).double()

    return seeded(build)


def conv_network(method=MAMLMethod, **options):
    spec = InputSpec("pictures", (1, 8, 8))
    module = seeded(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(3)))
    encoder = EncoderPlan(module, spec, 0, is_adapted=True).build()
    return seeded(lambda: method(encoder, 2, **options)).double()


def labels(n_tasks, n):
    return torch.arange(n).remainder(2).repeat(n_tasks, 1)


def row_tasks(n_tasks=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    support, query = (torch.randn(n_tasks, n, 3, generator=g, dtype=torch.float64) for n in (4, 6))
    return Episodes(support, labels(n_tasks, 4), query, labels(n_tasks, 6), 2)


def picture_tasks(n_tasks=3):
    g = torch.Generator().manual_seed(0)
    support, query = (torch.rand(n_tasks, n, 1, 8, 8, generator=g, dtype=torch.float64) * 255 for n in (4, 6))
    return Episodes(support, labels(n_tasks, 4), query, labels(n_tasks, 6), 2)


def gradients(method, episodes):
    method.zero_grad()
    result = method.loss(episodes)
    result.loss.backward()
    return result.loss.item(), {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


def finite_differences(method, episodes, step=1e-5):
    found = {}
    for name, parameter in method.named_parameters():
        slope = torch.zeros_like(parameter)
        for i in range(parameter.numel()):
            with torch.no_grad():
                flat = parameter.view(-1)
                values = []
                for sign in (1, -1):
                    flat[i] += sign * step
                    values.append(method.loss(episodes).loss.item())
                    flat[i] -= sign * step
            slope.view(-1)[i] = (values[0] - values[1]) / (2 * step)
        found[name] = slope
    return found


@pytest.mark.parametrize("part", ["all", "head", "body"])
@pytest.mark.parametrize("learned_rates", [None, "step", "parameter"])
def test_second_order_gradients_are_finite_differences(part, learned_rates):
    method, episodes = tanh_network(part=part, learned_rates=learned_rates), row_tasks()
    _, found = gradients(method, episodes)
    for name, expected in finite_differences(method, episodes).items():
        torch.testing.assert_close(found[name], expected, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("part", ["all", "head"])
@pytest.mark.parametrize("vectorised", [True, False])
@pytest.mark.parametrize("learned_rates", [None, "step", "parameter"])
def test_a_head_of_zeros_is_not_learned_and_what_goes_through_it_is(part, vectorised, learned_rates):
    method = tanh_network(part=part, learned_rates=learned_rates, zero_head=True, vectorised=vectorised)
    _, found = gradients(method, row_tasks())
    differences = finite_differences(method, row_tasks())
    learned = [name for name in differences if not name.startswith("network.head")]
    assert sorted(found) == sorted(learned)
    for name in learned:
        torch.testing.assert_close(found[name], differences[name], atol=1e-7, rtol=1e-5)


def test_a_step_from_a_head_of_zeros_is_a_closed_form():
    """w_c = rate * mean_i (1[y_i = c] - 1 / k) z_i, for as many classes as the task has."""
    method = tanh_network(zero_head=True, part="head", inner_steps=1, adapt_steps=1)
    rng = np.random.default_rng(0)
    support, query, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)), np.array([0, 1, 2, 3, 2, 1])
    state = method.adapt(torch.from_numpy(support)[None], torch.from_numpy(y)[None], 4)
    found = method.logits(state, torch.from_numpy(query)[None])[0].detach().numpy()
    layer = method.network.body.network[0]
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    Z, Q = np.tanh(support @ weight.T + bias), np.tanh(query @ weight.T + bias)
    residual = (np.eye(4)[y] - 1 / 4) / len(y)
    np.testing.assert_allclose(found, 0.3 * (Q @ Z.T + 1) @ residual, atol=1e-12)


@pytest.mark.parametrize("learned_rates", ["step", "parameter"])
def test_rates_have_gradients_of_their_own(learned_rates):
    method = tanh_network(learned_rates=learned_rates)
    _, found = gradients(method, row_tasks())
    rates = [slope for name, slope in found.items() if name.startswith("rates")]
    assert len(rates) == 4 * (2 if learned_rates == "step" else 1)
    assert all(slope.abs().max() > 0 for slope in rates)


def test_the_multi_step_loss_weighs_every_step_and_ends_with_the_last_one():
    method = tanh_network(multi_step_updates=10, inner_steps=3)
    method.train()
    weights = method.step_weights()
    np.testing.assert_allclose(weights, [1 / 3] * 3)
    _, found = gradients(method, row_tasks())
    assert int(method.n_updates) == 1
    method.n_updates.zero_()
    method.multi_step_updates = 10**9  # weights do not move while differences are taken
    for name, expected in finite_differences(method, row_tasks()).items():
        torch.testing.assert_close(found[name], expected, atol=1e-7, rtol=1e-4)
    method.multi_step_updates = 10
    method.n_updates.fill_(10)
    np.testing.assert_allclose(method.step_weights(), [0.01, 0.01, 0.98], rtol=1e-6)
    assert method.eval().step_weights() is None


def plain_maml(method, episodes, order):
    """MAML as a textbook loop: no vmap, no torch.func, autograd alone."""
    network = method.network
    names = [name for name, _ in network.named_parameters()]
    start = [p.detach().clone().requires_grad_() for p in network.parameters()]

    def forward(weights, x):
        w = dict(zip(names, weights))
        codes = torch.tanh(F.linear(x, w["body.network.0.weight"], w["body.network.0.bias"]))
        return F.linear(codes, w["head.weight"], w["head.bias"])

    losses = []
    for x, y, query, query_y in zip(*episodes[:4]):
        weights = start
        for _ in range(2):
            slopes = torch.autograd.grad(F.cross_entropy(forward(weights, x), y), weights, create_graph=order == 2)
            weights = [w - 0.3 * slope for w, slope in zip(weights, slopes)]
        losses.append(F.cross_entropy(forward(weights, query), query_y))
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item(), dict(zip(names, [w.grad for w in start]))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("vectorised", [True, False])
def test_tasks_together_are_a_plain_loop(order, vectorised):
    episodes = row_tasks(5)
    loss, found = gradients(tanh_network(order=order, vectorised=vectorised), episodes)
    expected_loss, expected = plain_maml(tanh_network(), episodes, order)
    assert loss == pytest.approx(expected_loss, abs=1e-12)
    for name, slope in expected.items():
        torch.testing.assert_close(found[f"network.{name}"], slope, atol=1e-12, rtol=1e-9)


def test_first_order_differs_from_second():
    first, second = (gradients(tanh_network(order=order), row_tasks())[1] for order in (1, 2))
    assert any((first[name] - second[name]).abs().max() > 1e-4 for name in first)


@pytest.mark.parametrize("batch_norm", ["inductive", "transductive"])
@pytest.mark.parametrize("order", [1, 2, "implicit"])
def test_convolutions_and_batch_norm_are_the_same_together_and_one_by_one(batch_norm, order):
    options = {**MAML, "order": order, "batch_norm": batch_norm}
    together, apart = (conv_network(**options, vectorised=v) for v in (True, False))
    (loss_a, a), (loss_b, b) = gradients(together, picture_tasks()), gradients(apart, picture_tasks())
    assert loss_a == pytest.approx(loss_b, abs=1e-10)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-9, rtol=1e-6)


def test_second_order_goes_through_the_support_sets_statistics():
    method, episodes = conv_network(**MAML), picture_tasks(2)
    _, found = gradients(method, episodes)
    for name, expected in finite_differences(method, episodes).items():
        torch.testing.assert_close(found[name], expected, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize(("batch_norm", "depends"), [("inductive", False), ("transductive", True)])
def test_only_transductive_predictions_depend_on_their_company(batch_norm, depends):
    method, episodes = conv_network(**{**MAML, "batch_norm": batch_norm}), picture_tasks()
    state = method.adapt(episodes.support, episodes.support_y, 2)
    alone = method.logits(state, episodes.query[:, :2])
    among = method.logits(state, episodes.query)[:, :2]
    assert torch.allclose(alone, among, atol=1e-10) is not depends


def test_a_state_predicts_what_the_loss_saw():
    method, episodes = conv_network(**MAML), picture_tasks()
    state = method.adapt(episodes.support, episodes.support_y, 2)
    loss = F.cross_entropy(method.logits(state, episodes.query).flatten(0, 1), episodes.query_y.flatten())
    assert method.loss(episodes).loss.item() == pytest.approx(loss.item(), abs=1e-10)


def test_conjugate_gradients_solve():
    g = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=g, dtype=torch.float64)
    matrix, target = root @ root.T + torch.eye(5, dtype=torch.float64), torch.randn(5, generator=g, dtype=torch.float64)
    found = conjugate_gradient(lambda v: {"w": matrix @ v["w"]}, {"w": target}, 5)["w"]
    torch.testing.assert_close(found, torch.linalg.solve(matrix, target))


def test_implicit_gradients_are_those_of_the_optimum_of_a_quadratic():
    # w(t) = argmin |A w - b|^2 / 2 + c / 2 |w - t|^2 = (A'A + cI)^-1 (A'b + c t);  L_q = |w - q|^2 / 2
    g = torch.Generator().manual_seed(1)
    A, b, q = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((6, 4), (6,), (4,)))
    pull = 0.7
    start = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimum = torch.linalg.solve(A.T @ A + pull * torch.eye(4, dtype=torch.float64), A.T @ b + pull * start)
    (expected,) = torch.autograd.grad((optimum - q).square().sum() / 2, start)
    found = implicit_gradient(
        lambda w, x, y: (x @ w["w"] - y).square().sum() / 2,
        {"w": (optimum - q).detach()}, {"w": optimum.detach()}, A, b, proximal=pull, n_steps=4,
    )  # fmt: skip
    torch.testing.assert_close(found["w"], expected)


@pytest.mark.parametrize("uses_adam", [False, True])
def test_inner_steps_are_those_of_torchs_optimizers(uses_adam):
    g = torch.Generator().manual_seed(2)
    x, y = (torch.randn(7, n, generator=g, dtype=torch.float64) for n in (3, 1))
    start = torch.randn(3, 1, generator=g, dtype=torch.float64)
    loop = InnerLoop(4, uses_adam=uses_adam)
    found = learn_task(grad(lambda w, x, y: F.mse_loss(x @ w["w"], y)), {"w": start}, [{"w": 0.1}], x, y, loop)[-1]["w"]
    weight = start.clone().requires_grad_()
    optimizer = (
        torch.optim.Adam([weight], lr=0.1, betas=(0.0, 0.999)) if uses_adam else torch.optim.SGD([weight], lr=0.1)
    )
    for _ in range(4):
        optimizer.zero_grad()
        F.mse_loss(x @ weight, y).backward()
        optimizer.step()
    torch.testing.assert_close(found, weight.detach())


def test_batches_of_an_inner_loop_see_every_row_evenly():
    x = torch.arange(5, dtype=torch.float64).unsqueeze(1)
    seen = []
    loop = InnerLoop(10, batch_size=2)

    def loss(w, x, y):
        seen.append(x.flatten().tolist())
        return (w["w"] * x).sum()

    learn_task(grad(loss), {"w": torch.zeros(1, dtype=torch.float64)}, [{"w": 0.1}], x, x, loop)
    assert all(len(batch) == 2 for batch in seen)
    assert np.bincount(np.concatenate(seen).astype(int)).tolist() == [4] * 5


def test_reptile_moves_the_start_to_the_mean_of_the_tasks():
    options = {"part": "all", "batch_norm": "inductive", "inner_steps": 3, "adapt_steps": 3,
               "inner_learning_rate": 0.05, "uses_adam": True, "inner_batch_size": None}  # fmt: skip
    method, episodes = conv_network(ReptileMethod, **options), picture_tasks()
    state = method.adapt(episodes.support, episodes.support_y, 2)
    start = {name: value.clone() for name, value in method.start().items()}
    optimizer = torch.optim.SGD(method.parameters(), lr=0.5)
    method.loss(episodes).loss.backward()
    optimizer.step()
    for name, value in method.start().items():
        expected = start[name] + 0.5 * (state[f"weight:{name}"].mean(0) - start[name])
        torch.testing.assert_close(value.detach(), expected.detach())


def test_reptile_moves_the_body_alone_where_heads_are_zero():
    options = {"part": "all", "batch_norm": "transductive", "inner_steps": 3, "adapt_steps": 3,
               "inner_learning_rate": 0.1, "uses_adam": False, "inner_batch_size": None}  # fmt: skip
    method, episodes = conv_network(ReptileMethod, **options, zero_head=True), picture_tasks()
    _, found = gradients(method, episodes)
    start = method.start()
    assert set(found) == {f"network.{name}" for name in start}
    assert not any("head" in name for name in found)
    ends = [method.adapt(episodes.support[[i]], episodes.support_y[[i]], 2) for i in range(3)]
    for name, value in start.items():
        mean = torch.stack([end[f"weight:{name}"][0] for end in ends]).mean(0)
        torch.testing.assert_close(found[f"network.{name}"], value.detach() - mean, atol=1e-10, rtol=1e-8)


def test_a_regression_is_learned_by_squared_errors():
    method = tanh_network()
    episodes = row_tasks()
    values = episodes._replace(support_y=episodes.support[..., :2].square(), query_y=episodes.query[..., :2].square())
    state = method.adapt(values.support, values.support_y, 2)
    expected = F.mse_loss(method.logits(state, values.query), values.query_y)
    result = method.loss(values)
    assert result.loss.item() == pytest.approx(expected.item(), abs=1e-12)
    assert result.parts is None
