"""The losses' formulas against NumPy, and the way that their gradients push."""

import losses_by_hand as reference
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from torch import nn

import sktl.adaptation.losses as L  # noqa: N812
from sktl.adaptation.losses import View

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(12, 5)), RNG.normal(size=(12, 5)) * 1.5 + 0.7
LOGITS, OTHER = RNG.normal(size=(12, 3)) * 2, RNG.normal(size=(12, 3)) * 2
LABELS = np.tile([0, 1, 2, 1], 3)


def t(values):
    return torch.tensor(values, dtype=torch.int64 if values.dtype.kind == "i" else torch.float64)


def agree(found, expected):
    assert float(torch.as_tensor(found).detach()) == pytest.approx(
        float(torch.as_tensor(expected).detach()), rel=1e-6, abs=1e-9
    )


class TestDiscrepancies:
    def test_mmd(self):
        agree(L.mmd(t(SOURCE), t(TARGET)), reference.mmd(SOURCE, TARGET))
        agree(L.mmd(t(SOURCE), t(TARGET), n_kernels=2), reference.mmd(SOURCE, TARGET, 2))
        agree(L.mmd(t(SOURCE), t(SOURCE[::-1].copy())), 0)

    def test_joint_mmd(self):
        p, q = softmax(LOGITS, 1), softmax(OTHER, 1)
        rows, proba = np.vstack([SOURCE, TARGET]), np.vstack([p, q])
        product = reference.gaussian(rows) * reference.gaussian(proba, 1, 1.68)
        expected = product[:12, :12].mean() + product[12:, 12:].mean() - 2 * product[:12, 12:].mean()
        agree(L.joint_mmd(t(SOURCE), t(TARGET), t(p), t(q)), expected)

    def test_coral(self):
        difference = np.cov(SOURCE.T) - np.cov(TARGET.T)
        agree(L.coral(t(SOURCE), t(TARGET)), np.linalg.norm(difference, "fro") ** 2 / (4 * 25))

    def test_central_moments(self):
        def moment(rows, k):
            return rows.mean(0) if k == 1 else ((rows - rows.mean(0)) ** k).mean(0)

        expected = sum(np.linalg.norm(moment(SOURCE, k) - moment(TARGET, k)) / 2.0**k for k in range(1, 6))
        agree(L.central_moments(t(SOURCE), t(TARGET), width=2.0), expected)

    def test_central_moments_of_equal_rows_have_a_gradient(self):
        rows = t(SOURCE).requires_grad_()
        L.central_moments(rows, t(SOURCE)).backward()
        assert rows.grad.isfinite().all()

    @pytest.mark.parametrize("labels", [LABELS, np.tile([0, 1], 6)])
    def test_local_mmd(self, labels):
        q, kernel, total = softmax(OTHER, 1), reference.gaussian(np.vstack([SOURCE, TARGET])), 0.0
        for c in np.unique(labels):
            w = (labels == c) / (labels == c).sum()
            v = q[:, c] / q[:, c].sum()
            total += w @ kernel[:12, :12] @ w + v @ kernel[12:, 12:] @ v - 2 * w @ kernel[:12, 12:] @ v
        agree(L.local_mmd(t(SOURCE), t(TARGET), t(labels), t(q)), total / len(np.unique(labels)))

    def test_joint_cost(self):
        expected = [
            [0.5 * ((a - b) ** 2).mean() - 2 * log_softmax(z)[y] for b, z in zip(TARGET, OTHER)]
            for a, y in zip(SOURCE, LABELS)
        ]
        cost = L.joint_cost(t(SOURCE), t(TARGET), t(LABELS), t(log_softmax(OTHER, 1)), alpha=0.5, beta=2.0)
        assert np.allclose(cost, expected)

    def test_plans_move_all_mass(self):
        cost = torch.from_numpy(RNG.random((12, 12)))
        exact, smooth = L.exact_plan(cost), L.sinkhorn_plan(cost, regularisation=0.01, n_iter=500)
        for plan in (exact, smooth):
            assert np.allclose(plan.sum(0), 1 / 12, atol=1e-3)
            assert np.allclose(plan.sum(1), 1 / 12, atol=1e-3)
        best = reference.cheapest_transport(cost.numpy())
        agree((exact * cost).sum(), best)
        assert best <= float((smooth * cost).sum()) + 1e-9 < best * 1.1

    def test_sinkhorn_is_the_plan_of_its_formula(self):
        cost = RNG.random((4, 6))
        plan = L.sinkhorn_plan(torch.from_numpy(cost), regularisation=0.5, n_iter=300)
        kernel = np.exp(-cost / (0.5 * cost.mean()))
        u = np.ones(4)
        for _ in range(300):
            v = (1 / 6) / (kernel.T @ u)
            u = (1 / 4) / (kernel @ v)
        assert np.allclose(plan, u[:, None] * kernel * v, atol=1e-9)

    def test_unbalanced_plan_is_where_its_objective_is_flat(self):
        # d/dP [<P, C> + e KL(P | a b) + r KL(P 1 | a) + r KL(P' 1 | b)] = 0
        cost = RNG.random((4, 6)) + np.array([0, 0, 0, 5.0])[:, None]  # the last row is far from all
        plan = L.sinkhorn_plan(torch.from_numpy(cost), regularisation=0.3, n_iter=500, reach=0.5).numpy()
        e, r = 0.3 * cost.mean(), 0.5 * cost.mean()
        of_rows, of_columns = np.log(plan.sum(1) * 4), np.log(plan.sum(0) * 6)
        assert np.allclose(cost + e * np.log(plan * 24) + r * of_rows[:, None] + r * of_columns, 0, atol=1e-9)
        assert plan.sum(1)[3] < 0.05 * plan.sum(1)[:3].min()


class TestAdversaries:
    def test_reversed_gradient(self):
        x = torch.tensor([1.0, -2.0], requires_grad=True)
        y = L.reverse_gradient(x, 0.5)
        assert torch.equal(y, x)
        (y * torch.tensor([3.0, 4.0])).sum().backward()
        assert x.grad.tolist() == [-1.5, -2.0]

    def test_warm_up(self):
        assert L.warm_up(0.0) == 0
        assert L.warm_up(0.5) == pytest.approx(2 / (1 + np.exp(-5)) - 1)

    def test_domain_loss(self):
        z, w = LOGITS[:, 0], RNG.random(12)
        p = 1 / (1 + np.exp(-z))
        agree(L.domain_loss(t(z), 4), -(np.log(p[:4]).mean() + np.log(1 - p[4:]).mean()) / 2)
        of_source = np.average(-np.log(p[:4]), weights=w[:4])
        of_target = np.average(-np.log(1 - p[4:]), weights=w[4:])
        agree(L.domain_loss(t(z), 4, t(w)), (of_source + of_target) / 2)

    def test_outer_product_and_entropy_weights(self):
        p = softmax(LOGITS, 1)
        expected = np.stack([np.outer(g, f).ravel() for g, f in zip(p, SOURCE)])
        assert np.allclose(L.outer_product(t(SOURCE), t(p)), expected)
        assert np.allclose(L.entropy_weights(t(p)), 1 + np.exp((p * np.log(p)).sum(1)))

    def test_randomised_product_keeps_inner_products(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = L.CDAN(largest=0, n_random=60_000).build(5, 3, nn.Identity())
        rows = torch.from_numpy(SOURCE).float(), torch.from_numpy(softmax(LOGITS, 1)).float()
        assert state.is_random
        joint = (rows[0] @ state.of_features) * (rows[1] @ state.of_proba)
        exact = L.outer_product(*rows)
        scale = state.of_proba.pow(2).mean()  # that of the constant in front
        assert torch.allclose(joint @ joint.T / scale, exact @ exact.T, atol=0.5)

    def test_classifier_discrepancy(self):
        agree(L.classifier_discrepancy(t(LOGITS), t(OTHER)), np.abs(softmax(LOGITS, 1) - softmax(OTHER, 1)).mean())

    def test_margin_disparity(self):
        codes = LABELS[::-1].copy()
        p, q, rows = softmax(LOGITS, 1), softmax(OTHER, 1), np.arange(12)
        expected = 3 * -np.log(p[rows, LABELS]).mean() - np.log(1 - q[rows, codes]).mean()
        agree(L.margin_disparity(t(LOGITS), t(OTHER), t(LABELS), t(codes), margin=3.0), expected)


class TestOutputs:
    def test_entropy(self):
        p = softmax(LOGITS, 1)
        agree(L.entropy(t(LOGITS)), -(p * np.log(p)).sum(1).mean())

    def test_class_confusion(self):
        p = softmax(LOGITS / 2, 1)
        w = 1 + np.exp((p * np.log(p)).sum(1))
        w = 12 * w / w.sum()
        confusion = sum(wi * np.outer(row, row) for wi, row in zip(w, p))
        confusion /= confusion.sum(1, keepdims=True)
        agree(L.class_confusion(t(LOGITS)), (confusion.sum() - np.trace(confusion)) / 3)
        shares = np.array([0.5, 0.4, 0.1])  # of the classes in the target
        weighed = L.class_confusion(t(LOGITS), class_shares=t(shares))
        agree(weighed, np.minimum(shares, 1 / 3) @ (confusion.sum(1) - np.diag(confusion)))

    def test_nuclear_norm(self):
        agree(L.nuclear_norm(t(LOGITS)), np.linalg.svd(softmax(LOGITS, 1), compute_uv=False).sum() / 12**0.5)

    def test_norm_growth(self):
        rows = t(SOURCE).requires_grad_()
        value = L.norm_growth(rows, step=0.5)
        agree(value, 0.25)
        value.backward()
        assert ((rows.grad * rows).sum(1) < 0).all()  # descent makes every row longer

    def test_spectral_penalty(self):
        expected = sum((np.linalg.svd(rows, compute_uv=False)[:2] ** 2).sum() / 12 for rows in (SOURCE, TARGET))
        agree(L.spectral_penalty(t(SOURCE), t(TARGET), n_largest=2), expected)

    def test_confident_cross_entropy(self):
        p = softmax(OTHER, 1)
        sure = p.max(1) >= 0.7
        assert 0 < sure.sum() < 12
        expected = -(log_softmax(LOGITS, 1)[np.arange(12), p.argmax(1)] * sure).mean()
        agree(L.confident_cross_entropy(t(LOGITS), t(OTHER), threshold=0.7), expected)

    def test_confident_consistency(self):
        p, q = softmax(OTHER, 1), softmax(LOGITS, 1)
        expected = (((p - q) ** 2).mean(1) * (p.max(1) >= 0.7)).mean()
        agree(L.confident_consistency(t(LOGITS), t(OTHER), threshold=0.7), expected)

    def test_teachers_are_not_differentiated(self):
        for loss in (L.confident_consistency, L.confident_cross_entropy):
            student, teacher = t(LOGITS).requires_grad_(), t(OTHER).requires_grad_()
            loss(student, teacher, threshold=0.5).backward()
            assert student.grad is not None
            assert teacher.grad is None


class TestGeneralisation:
    def test_invariance_penalty(self):
        w = torch.ones((), dtype=torch.float64, requires_grad=True)
        risk = nn.functional.cross_entropy(w * t(LOGITS), t(LABELS))
        (slope,) = torch.autograd.grad(risk, w)
        agree(L.invariance_penalty(t(LOGITS), t(LABELS)), slope**2)

    def test_tilted(self):
        q, r = np.array([0.2, 0.3, 0.5]), np.array([1.0, 3.0, 0.1])
        expected = q * np.exp(0.7 * r) / (q * np.exp(0.7 * r)).sum()
        assert np.allclose(L.tilted(t(q), t(r), rate=0.7), expected)

    def test_group_dro_turns_to_the_worst_domain(self):
        loss = L.GroupDRO(rate=1.0)
        state = loss.build(5, 3, nn.Identity())
        logits = torch.zeros(8, 3)
        logits[:4, 0] = 5  # right in the first domain, wrong in the second
        labels = torch.tensor([0] * 4 + [1] * 4)
        logits[4:, 0] = 5
        view = View(logits, logits, labels, None, (4, 4), 0, 0.5, None, None)
        values = [float(loss(view, state)) for _ in range(5)]
        assert values == sorted(values)
        assert state.values[1] > 0.99

    def test_mix_style(self):
        maps, order, share = RNG.normal(size=(4, 3, 5, 5)) * 2 + 1, np.array([2, 0, 3, 1]), np.array([0.0, 1, 0.3, 0.8])
        mixed = L.mix_style(t(maps), t(order), t(share)).numpy()
        own = share[:, None]
        assert np.allclose(mixed.mean((2, 3)), own * maps.mean((2, 3)) + (1 - own) * maps.mean((2, 3))[order])
        expected = own * maps.std((2, 3)) + (1 - own) * maps.std((2, 3))[order]
        assert np.allclose(mixed.std((2, 3)), expected, atol=1e-5)


ALIGNING = [
    L.MMD(), L.JAN(), L.CORAL(), L.CMD(), L.DSAN(), L.DeepJDOT(), L.DeepJDOT(0.3, reach=None), L.BSP(weight=1.0),
]  # fmt: skip


def toy_view(features, network, progress=1.0):
    logits = network.classify(features)
    labels = torch.from_numpy(LABELS)
    return View(features, logits, labels, None, (12,), 12, progress, network, features.detach())


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(5, 3)
        self.features = nn.Identity()

    def forward(self, X):
        return self.classify(X)


@pytest.fixture
def toy():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield Toy()


@pytest.mark.parametrize("loss", ALIGNING, ids=repr)
def test_descent_brings_the_domains_closer(loss, toy):
    start = torch.from_numpy(np.vstack([SOURCE, TARGET])).float()
    features = start.clone().requires_grad_()
    state = loss.build(5, 3, toy)
    before = loss(toy_view(features, toy), state)
    (gradient,) = torch.autograd.grad(before, features)
    after = loss(toy_view(start - 0.01 * gradient / gradient.norm(), toy), state)
    assert after < before


@pytest.mark.parametrize("loss", [L.DANN(), L.CDAN(), L.CDAN(entropy=True), L.MDD(), L.MCD()], ids=repr)
def test_adversaries_descend_what_features_ascend(loss, toy):
    start = torch.from_numpy(np.vstack([SOURCE, TARGET])).float()
    features = start.clone().requires_grad_()
    state = loss.build(5, 3, toy)
    value = loss(toy_view(features, toy), state)
    parameters = list(state.parameters())
    gradients = torch.autograd.grad(value, [features, *parameters])
    with torch.no_grad():
        moved = start[12:] - 1e-2 * gradients[0][12:] / gradients[0][12:].norm()
        of_features = loss(toy_view(torch.cat([start[:12], moved]), toy), state)
        for parameter, gradient in zip(parameters, gradients[1:]):
            parameter -= 1e-3 * gradient
        of_adversary = loss(toy_view(start, toy), state)
    assert of_features > value  # for the target rows, whose gradient is reversed throughout
    assert of_adversary < value


@pytest.mark.parametrize("loss", [L.DANN(), L.CDAN(), L.MDD()], ids=repr)
def test_warm_up_acts_on_the_features_only(loss, toy):
    start = torch.from_numpy(np.vstack([SOURCE, TARGET])).float()
    state = loss.build(5, 3, toy)
    found = []
    for progress in (0.0, 1.0):
        features = start.clone().requires_grad_()
        value = loss(toy_view(features, toy, progress), state)
        found.append(torch.autograd.grad(value, [features, next(state.parameters())]))
    assert not found[0][0].any()
    assert found[1][0].any()
    assert torch.equal(found[0][1], found[1][1])


def test_adda_adapts_the_target_to_a_source_that_stands_still(toy):
    loss = L.ADDA(pretraining=0.5)
    state = loss.build(5, 3, toy)
    features = torch.from_numpy(np.vstack([SOURCE, TARGET])).float().requires_grad_()
    assert float(loss(toy_view(features, toy, 0.2), state)) == 0
    value = loss(toy_view(features, toy, 0.7), state)
    (gradient,) = torch.autograd.grad(value, features, retain_graph=True)
    assert not gradient[:12].any()
    assert gradient[12:].any()
    moved = (features - 0.01 * gradient / gradient.norm()).detach()
    taken_for_source = state.discriminator(moved[12:]).mean() > state.discriminator(features[12:]).mean()
    assert taken_for_source


def test_teacher_is_the_average_of_the_weights(toy):
    loss = L.MeanTeacher(decay=0.75)
    state = loss.build(5, 3, toy)
    average, values = 0.0, [1.0, 3.0, -2.0, 5.0, 0.5]
    for i, value in enumerate(values):
        with torch.no_grad():
            toy.classify.weight.fill_(value)
        state.follow(toy, loss.decay)
        decay = min(0.75, i / (i + 1))
        average = decay * average + (1 - decay) * value
    assert state.network.classify.weight[0, 0].item() == pytest.approx(average)


class TestRegistry:
    @pytest.mark.parametrize("name", list(L.LOSSES))
    def test_every_loss_is_a_parameter_object(self, name):
        loss = L.get_loss(name)
        loss._validate_params()
        assert clone(loss).get_params() == loss.get_params()
        assert {"Parameters", "References", "Examples"} <= set(type(loss).__doc__.replace("-", "").split())

    def test_names_and_objects(self):
        assert L.get_losses(None) == []
        assert [type(loss) for loss in L.get_losses(["dann", L.MCC()])] == [L.DANN, L.MCC]
        with pytest.raises(ValueError, match=r"Did you mean .*'dann'"):
            L.get_loss("dan")
        with pytest.raises(TypeError, match=r"pass an object of it, DANN\(\)"):
            L.get_loss(L.DANN)
        with pytest.raises(TypeError, match="must be one of"):
            L.get_loss(3)

    def test_exact_plan_needs_equal_numbers(self, toy):
        view = toy_view(torch.zeros(24, 5), toy)
        view.sizes, view.n_target = (11,), 13
        with pytest.raises(ValueError, match='solver="sinkhorn"'):
            L.DeepJDOT(solver="exact")(view, None)
