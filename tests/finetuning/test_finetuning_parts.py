"""The parts of fine-tuning against independent computations."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from torch import nn

from sktl._row_scalers import chosen_scaler
from sktl.features import LogisticRegressionLOO
from sktl.finetuning import STRATEGIES, FineTunedClassifier, LoRA
from sktl.finetuning._batch_changes import mixture
from sktl.finetuning._budget import Budget, budget_for, hyper_rule
from sktl.finetuning._heads import solve_classifier, solve_regressor
from sktl.finetuning._lora import merge_adapters
from sktl.finetuning._losses import StartingPointStep
from sktl.finetuning._networks import RowSpec
from sktl.training import ClassificationStep


def seeded(*layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*(kind(*arguments) for kind, *arguments in layers))


def job_of(estimator, X, y):
    estimator._validate_params()
    return estimator._training_of(X, y, None, goes_on=False)[0]


def plan_of(estimator, X, y):
    job = job_of(estimator, X, y)
    module = job.spec.build()
    return job.plan(module, job.budget()), module, job


class TestHeads:
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_the_head_is_logistic_regression(self, n_classes):
        rng = np.random.default_rng(0)
        codes, y = rng.normal(3, [1, 2, 0.1, 1, 1], (60, 5)), np.arange(60) % n_classes
        codes[:, 0] += y
        weight = rng.uniform(0.5, 2, 60)
        head = solve_classifier(codes, y, weight, 0.5, n_classes)
        peer = LogisticRegression(C=0.5, max_iter=1000, tol=1e-8).fit(codes, y, sample_weight=weight)
        logits = codes @ head.weight.T + head.bias
        found = np.exp(logits - logits.max(1, keepdims=True))
        assert np.allclose(found / found.sum(1, keepdims=True), peer.predict_proba(codes), atol=1e-4)

    def test_class_without_examples_stays_improbable(self):
        codes, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 2 * 2
        head = solve_classifier(codes, y, None, 1.0, 3)
        assert head.weight.shape == (3, 4)
        assert set((codes @ head.weight.T + head.bias).argmax(1)) <= {0, 2}

    def test_ridge(self):
        rng = np.random.default_rng(0)
        codes, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
        head = solve_regressor(codes, y, None, 2.0)
        peer = make_pipeline(StandardScaler(), Ridge(2.0)).fit(codes, y)
        assert np.allclose(codes @ head.weight.T + head.bias, peer.predict(codes))

    def test_training_starts_at_the_solved_head(self, small_network, striped):
        X, y = striped
        options = {
            "backbone": small_network, "image_size": 32, "preprocessing": {"crop_pct": 1.0}, "random_state": 0, "C": 1.0
        }  # fmt: skip
        trained = FineTunedClassifier(learning_rate=1e-12, max_steps=1, freeze_bn=True, weight_decay=0, **options)
        trained.fit(X, y)
        peer = LogisticRegression(max_iter=1000, tol=1e-8)
        codes = trained.module_.codes(torch.from_numpy(X).permute(0, 3, 1, 2)).numpy(force=True).astype(float)
        assert np.allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
        assert np.allclose(peer.fit(codes, y).predict_proba(codes), trained.predict_proba(X), atol=1e-3)

    def test_a_head_that_stands_alone_takes_codes_of_length_one(self, small_network, striped):
        X, y = striped
        options = {"backbone": small_network, "image_size": 32, "preprocessing": {"crop_pct": 1.0}, "random_state": 0}
        pictures = torch.from_numpy(X).permute(0, 3, 1, 2)
        plain = FineTunedClassifier(strategy="full", max_steps=1, learning_rate=1e-12, freeze_bn=True, **options)
        plain.fit(X, y)
        codes = normalize(plain.module_.codes(pictures).numpy(force=True).astype(float))
        model = FineTunedClassifier(strategy="head", C=3.0, **options).fit(X, y)
        peer = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(codes, y)
        assert np.allclose(model.predict_proba(X), peer.predict_proba(codes), atol=1e-4)
        logits = model.module_(pictures).numpy(force=True)  # the module is the same
        assert np.allclose(logits[:, 1] - logits[:, 0], peer.decision_function(codes), atol=1e-3)
        chosen = FineTunedClassifier(strategy="head", **options).fit(X, y)
        assert np.isclose(chosen.C_, LogisticRegressionLOO().fit(codes, y).C_, rtol=1e-3)

    def test_training_starts_at_the_head_that_stands_alone(self, small_network, striped):
        X, y = striped
        options = {"backbone": small_network, "image_size": 32, "random_state": 0}
        slight = {"learning_rate": 1e-12, "max_steps": 1, "freeze_bn": True, "weight_decay": 0}
        head = FineTunedClassifier(strategy="head", **options).fit(X, y)
        trained = FineTunedClassifier(**options, **slight).fit(X, y)
        assert np.isclose(trained.C_, head.C_)
        assert np.allclose(trained.predict_proba(X), head.predict_proba(X), atol=1e-5)
        many = np.stack([y == y[0], y != y[0]], axis=1).astype(int)
        head, trained = head.fit(X, many), trained.fit(X, many)
        assert np.allclose(trained.predict_proba(X), head.predict_proba(X), atol=1e-5)

    def test_rows_are_scaled_by_what_tells_more(self):
        rng = np.random.default_rng(0)
        y = np.arange(60) % 2
        alike = rng.normal(size=(60, 40)) * 0.01  # as codes are: the loud columns tell the classes
        alike[:, :2] += np.where(y, 1.0, -1.0)[:, None]
        assert np.ptp(chosen_scaler(alike, None, y).scale_) == 0
        table = alike.copy()  # of columns in units of their own: the loudest knows nothing
        table[:, 2] = 1e6 * rng.normal(size=60)
        assert np.allclose(chosen_scaler(table, None, y).scale_, table.std(0))
        for few in (4, 7):  # rows too few to choose: units decide
            assert np.ptp(chosen_scaler(alike[:few, 2:], None, y[:few]).scale_) == 0
            assert np.allclose(chosen_scaler(table[:few], None, y[:few]).scale_, table[:few].std(0))

    def test_loud_units_of_a_network_are_no_columns_of_other_units(self):
        rng = np.random.default_rng(0)
        y = np.repeat(np.arange(5), 2)
        deviation = np.exp(0.9 * rng.normal(size=400))  # of ReLUs, few are active, each to a different degree
        codes = rng.normal(size=(10, 400)) * deviation
        assert codes.std(0).max() > 10 * np.median(codes.std(0))
        assert np.ptp(chosen_scaler(codes, None, y).scale_) == 0

    def test_ten_rows_of_codes_do_not_choose_their_columns_deviations_by_chance(self):
        y = np.arange(10) % 2
        for seed in range(30):
            rng = np.random.default_rng(seed)
            codes = np.maximum(rng.normal(size=(10, 300)) + 0.15 * np.outer(y, rng.normal(size=300)), 0)
            assert np.ptp(chosen_scaler(codes, None, y).scale_) == 0, seed

    def test_a_few_rows_do_not_hide_all_columns_behind_one(self):
        for seed in range(20):
            rng = np.random.default_rng(seed)
            y = np.arange(10) % 2
            table = rng.normal(size=(10, 8)) + 0.7 * y[:, None]
            table[:, 0] = 1e4 * (rng.normal(size=10) + 0.5 * y)
            assert np.allclose(chosen_scaler(table, None, y).scale_, table.std(0)), seed

    def test_rows_start_as_the_linear_model(self):
        network = RowSpec(5, 8, 3, 0).build()
        rows = torch.linspace(-1, 1, 20).reshape(4, 5)
        assert torch.equal(network.codes(rows), rows)


class TestPull:
    def test_gradient_of_l2_sp(self):
        network = seeded((nn.Linear, 4, 3))
        start = [(p, p.detach().clone()) for p in network.parameters()]
        with torch.no_grad():
            for p in network.parameters():
                p += 0.5
        batch = (torch.ones(5, 4), torch.tensor([0, 1, 2, 0, 1]))
        plain = torch.autograd.grad(ClassificationStep()(network, batch), list(network.parameters()))
        result = StartingPointStep(ClassificationStep(), start, 0.3)(network, batch)
        pulled = torch.autograd.grad(result.loss, list(network.parameters()))
        for p, (_, value), a, b in zip(network.parameters(), start, plain, pulled):
            assert torch.allclose(b - a, 0.3 * (p - value), atol=1e-6)
        assert result.parts["l2_sp"].item() == pytest.approx(0.15 * 0.25 * 15, rel=1e-5)

    def test_a_strong_pull_keeps_weights_where_they_were(self, small_network, striped):
        options = {"backbone": small_network, "image_size": 32, "strategy": "full", "random_state": 0, "max_steps": 20}
        options["learning_rate"] = 0.1
        ways = []
        for strength in (0.0, 100.0):
            model = FineTunedClassifier(l2_sp=strength, weight_decay=0, optimizer="sgd", **options).fit(*striped)
            after, before = model.module_.network[0][0].weight.detach(), small_network[0][0].weight.detach()
            ways.append((after - before).norm().item())
        assert ways[1] < 0.5 * ways[0]


class TestPlan:
    def test_rates_fall_with_depth(self, small_network, striped):
        model = FineTunedClassifier(
            small_network, image_size=32, strategy="full", layer_decay=0.5, learning_rate=0.1, random_state=0
        )
        plan, module, _ = plan_of(model, *striped)
        rates = {id(p): group["lr"] for group in plan.groups for p in group["params"]}
        named = {name: rates[id(p)] for name, p in module.named_parameters()}
        assert named["head.weight"] == named["head.bias"] == 0.1
        for stage, share in ((2, 1.0), (1, 0.5), (0, 0.25)):
            assert named[f"network.{stage}.0.weight"] == pytest.approx(0.01 * share)
        decays = {id(p): group["weight_decay"] for group in plan.groups for p in group["params"]}
        assert all((decays[id(p)] > 0) == (p.ndim > 1) for p in module.parameters())

    def test_what_is_frozen_stays_to_the_bit(self, small_network, striped):
        model = FineTunedClassifier(
            small_network,
            image_size=32,
            strategy="last",
            freeze_until="1",
            batch_size=16,
            max_epochs=2,
            random_state=0,
            freeze_bn=False,
        ).fit(*striped)
        before = small_network.state_dict()
        for name, value in model.module_.network.state_dict().items():
            is_frozen = name.startswith(("0.", "1."))
            assert torch.equal(value, before[name]) == is_frozen, name  # batch norm's statistics too
        assert all(not name.startswith(("network.0", "network.1")) for name in model._learned.tensors)

    @pytest.mark.parametrize(
        ("params", "moves"),
        [
            ({"freeze_bn": True}, False),
            ({"freeze_bn": False}, True),
            ({"freeze_bn": "auto"}, False),
            ({"freeze_bn": "auto", "strategy": "scratch"}, True),
        ],
    )
    def test_batch_norm(self, params, moves, small_network, striped):
        options = {"image_size": 32, "batch_size": 20, "max_steps": 2, "random_state": 0}
        model = FineTunedClassifier(small_network, **options, **params).fit(*striped)
        same = torch.equal(model.module_.network[0][1].running_mean, small_network[0][1].running_mean)
        assert same is not moves

    @pytest.mark.parametrize(("batch_size", "n_steps", "freezes"), [(8, 500, True), (32, 100, True), (32, 200, False)])
    def test_batch_norm_learns_where_there_is_enough_to_learn_from(self, batch_size, n_steps, freezes):
        assert Budget(batch_size, 100, 10, n_steps).freezes_bn is freezes

    def test_earlier_layer_cuts_the_rest_off(self, small_network, striped):
        model = FineTunedClassifier(small_network, image_size=32, layer="1", max_steps=2, random_state=0).fit(*striped)
        assert model.module_.head.in_features == 12
        assert not any(name.startswith("network.2") for name in model._learned.tensors)

    def test_gradual_opens_stages_from_the_top(self, small_network, striped):
        plan, module, _ = plan_of(FineTunedClassifier(small_network, image_size=32, strategy="gradual"), *striped)
        assert len(plan.stages) == 3
        plan.close(2)
        wanted = {name for name, p in module.named_parameters() if p.requires_grad}
        assert {name.rpartition(".")[0] for name in wanted} == {"network.2.0", "network.2.1", "head"}
        assert module.network[0][1] in list(plan.frozen(module))
        plan.close(0)
        assert all(p.requires_grad for p in module.parameters())

    def test_gradual_trains_everything_in_the_end(self, small_network, striped):
        model = FineTunedClassifier(small_network, image_size=32, strategy="gradual", max_epochs=4, random_state=0)
        assert "network.0.0.weight" in model.fit(*striped)._learned.tensors


class TestAdapters:
    def network(self):
        return seeded((nn.Conv2d, 3, 6, 3), (nn.Conv2d, 6, 6, 3, 1, 1, 1, 6), (nn.Flatten,), (nn.Linear, 96, 4))

    def test_nothing_is_changed_at_first_and_merged_is_unmerged(self):
        network, x = self.network(), torch.linspace(-1, 1, 216).reshape(2, 3, 6, 6)
        before = network(x)
        adapted = LoRA(rank=2, alpha=4).attach(network, lambda name: True, 0)
        assert adapted == ["0", "3"]  # the depthwise one is left out
        assert torch.equal(network(x), before)
        with torch.no_grad():
            for name, p in network.named_parameters():
                if name.endswith(".B"):
                    p += torch.linspace(-1, 1, p.numel()).reshape(p.shape).cos() * torch.tensor([0.1, -0.3])
        change = network[3].parametrizations.weight[0]
        expected = network[3].parametrizations.weight.original + 2 * change.B @ change.A
        unmerged = network(x)
        assert torch.allclose(network[3].weight, expected)
        assert np.linalg.matrix_rank((expected - network[3].parametrizations.weight.original).detach().numpy()) == 2
        merged = merge_adapters(copy.deepcopy(network))
        assert torch.allclose(merged(x), unmerged, atol=1e-6)
        assert not torch.allclose(unmerged, before, atol=1e-3)
        assert len(list(merged.parameters())) == 6

    def test_only_thin_matrices_are_learned(self, small_network, striped):
        model = FineTunedClassifier(small_network, image_size=32, adapter="lora", max_steps=3, random_state=0)
        names = set(model.fit(*striped)._learned.tensors)
        assert all(name.endswith((".A", ".B")) or name.startswith("head.") for name in names)
        assert len(names) > 2

    @pytest.mark.parametrize("strategy", ["head", "scratch"])
    def test_adapters_need_layers_to_adapt(self, strategy, striped):
        with pytest.raises(ValueError, match="adapter='lora' changes pretrained layers"):
            FineTunedClassifier(strategy=strategy, adapter="lora").fit(*striped)


class TestBatches:
    def test_hyper_rule(self):
        assert [hyper_rule(n) for n in (10, 19_999, 20_000, 499_999, 500_000)] == [500, 500, 10_000, 10_000, 20_000]

    @pytest.mark.parametrize(
        ("n", "batch_size", "n_epochs"), [(10, 4, 10), (40, 10, 10), (1000, 32, 10), (10_000, 32, 2), (100_000, 32, 4)]
    )
    def test_budget(self, n, batch_size, n_epochs):
        budget = budget_for(
            n, device=torch.device("cpu"), is_rows=False, batch_size="auto", max_epochs="auto", max_steps=None,
            strategy_epochs=STRATEGIES["lp-ft"].max_epochs,
        )  # fmt: skip
        assert (budget.batch_size, budget.n_epochs) == (batch_size, n_epochs)

    @pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0)])
    def test_mixtures_keep_labels_in_proportion(self, mixup, cutmix):
        y = torch.tensor([0, 1, 2, 1, 0, 2, 0, 1])
        X = torch.nn.functional.one_hot(y, 3).float()[:, :, None, None].expand(-1, -1, 16, 16).clone()
        X, target, weight = mixture(3, mixup, cutmix)((X, y), torch.Generator().manual_seed(3))
        assert torch.allclose(target.sum(1), torch.ones(8))
        assert torch.allclose(X.mean((2, 3)), target, atol=1e-5)  # the picture's share is the label's
        assert torch.allclose(weight, torch.ones(8))

    def test_mixture_weighs_the_labels(self):
        y, weight = torch.tensor([0, 1]), torch.tensor([3.0, 1.0])
        generator = torch.Generator().manual_seed(1)
        _, target, mixed = mixture(2, 1.0, 0.0)((torch.zeros(2, 1, 2, 2), y, weight), generator)
        assert torch.allclose((target * mixed[:, None]).sum(0), torch.tensor([3.0, 1.0]))
