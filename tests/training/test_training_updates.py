"""One update: against loops written by hand, NumPy, and the same update in micro-batches."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from sktl.training import ClassificationStep, RegressionStep, StepResult, TensorBatches, TrainingNet, WeightAverage


def by_hand(module, optimizer, X, y, batch_size, n_epochs, seed=0, clip=None):
    generator = torch.Generator().manual_seed(seed)
    means = []
    for _ in range(n_epochs):
        total = 0.0
        for rows in torch.randperm(len(X), generator=generator).split(batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(module(X[rows]), y[rows])
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            total += loss.item() * len(rows)
        means.append(total / len(X))
    return means


@pytest.mark.parametrize(
    ("name", "make", "options"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), {}),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.3), {"weight_decay": 0.3}),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.9)), {"optimizer_options": {"betas": (0.5, 0.9)}}),
        (torch.optim.RMSprop, lambda p: torch.optim.RMSprop(p, lr=0.1), {}),
    ],
)
def test_updates_are_those_of_a_plain_loop(mlp, rows, weights_of, name, make, options):
    expected, module = mlp(), mlp()
    losses = by_hand(expected, make(expected.parameters()), *rows, batch_size=8, n_epochs=3, clip=0.5)
    net = TrainingNet(module, ClassificationStep(), optimizer=name, lr=0.1, max_epochs=3, clip_norm=0.5, **options)
    net.fit(TensorBatches(rows, 8))
    torch.testing.assert_close(weights_of(module), weights_of(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.history[:, "train_loss"], losses, rtol=1e-5)


def test_the_same_optimizer_gives_the_same_bits(mlp, rows, weights_of):
    expected, module = mlp(), mlp()
    by_hand(expected, torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9), *rows, batch_size=8, n_epochs=2)
    options = {"optimizer": torch.optim.SGD, "optimizer_options": {"momentum": 0.9}, "lr": 0.1}
    TrainingNet(module, ClassificationStep(), max_epochs=2, **options).fit(TensorBatches(rows, 8))
    assert torch.equal(weights_of(module), weights_of(expected))


def test_groups_have_their_own_rates_and_decay(mlp, rows):
    module = mlp()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    net = TrainingNet(
        module,
        ClassificationStep(),
        optimizer=torch.optim.SGD,
        max_epochs=None,
        max_steps=1,
        param_groups=lambda m: [
            {"params": m[0].parameters(), "lr": 0.0},
            {"params": m[2].weight, "lr": 0.5, "weight_decay": 0.1},
            {"params": []},
        ],
    )
    net.fit(TensorBatches(rows, 50))
    reference = mlp()
    F.cross_entropy(reference(rows[0]), rows[1]).backward()
    for name in ("0.weight", "0.bias", "2.bias"):  # rate zero, and not in any group
        assert torch.equal(dict(module.named_parameters())[name], before[name])
    step = reference[2].weight.grad + 0.1 * before["2.weight"]
    torch.testing.assert_close(module[2].weight.detach(), before["2.weight"] - 0.5 * step)
    with pytest.raises(ValueError, match="nothing to train"):
        TrainingNet(mlp(), ClassificationStep(), param_groups=[]).initialize()


def softmax_losses(logits, target):
    shifted = logits - logits.max(1, keepdims=True)
    return -(target * (shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))).sum(1)


def test_classification_losses_against_numpy(mlp, rows):
    module, (X, y) = mlp(), rows
    logits, hard = module(X).detach().double().numpy(), np.eye(3)[y]
    soft = np.random.default_rng(0).dirichlet(np.ones(3), len(y))
    weight = np.random.default_rng(1).random(len(y))
    plain = ClassificationStep()(module, (X, y))
    np.testing.assert_allclose(plain.item(), softmax_losses(logits, hard).mean(), rtol=1e-5)
    smooth = ClassificationStep(label_smoothing=0.2)(module, {"X": X, "y": y})
    np.testing.assert_allclose(smooth.item(), softmax_losses(logits, 0.8 * hard + 0.2 / 3).mean(), rtol=1e-5)
    loss, total, _ = ClassificationStep()(module, (X, torch.tensor(soft).float(), torch.tensor(weight).float()))
    expected = (softmax_losses(logits, soft) * weight).mean()  # not by the batch's own weights
    np.testing.assert_allclose([loss.item(), total], [expected, len(y)], rtol=1e-5)
    nothing, total, _ = ClassificationStep()(module, (X, y, torch.zeros(len(y))))
    assert (nothing.item(), total) == (0, len(y))


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_regression_losses_against_numpy(make_module, rows, loss):
    module, X = make_module((nn.Linear, 4, 2)), rows[0]
    y, weight = X[:, :2] ** 2, torch.rand(50, generator=torch.Generator().manual_seed(0))
    error = (module(X).detach() - y).double().numpy()
    errors = (error**2 if loss is F.mse_loss else np.abs(error)).mean(1)
    np.testing.assert_allclose(RegressionStep(loss)(module, (X, y)).item(), errors.mean(), rtol=1e-5)
    weighted = RegressionStep(loss)(module, (X, y, weight))
    np.testing.assert_allclose(weighted.loss.item(), (errors * weight.numpy()).mean(), rtol=1e-5)
    single = make_module((nn.Linear, 4, 1))
    expected = ((single(X)[:, 0] - y[:, 0]) ** 2).mean()
    torch.testing.assert_close(RegressionStep()(single, (X, y[:, 0])), expected)


def test_the_epochs_loss_weighs_batches_by_their_rows_or_weights(make_module):
    X = torch.arange(5.0)[:, None]
    module = make_module((nn.Linear, 1, 1))

    def mean_of_rows(module, batch):
        return 0 * module(batch).sum() + batch.mean()

    net = TrainingNet(module, mean_of_rows, max_epochs=1).fit(TensorBatches(X, 2))
    assert net.history[-1, "train_loss"] == pytest.approx(2.0)

    def with_parts(module, batch):
        loss = mean_of_rows(module, batch)
        return StepResult(loss, batch.sum(), {"square": (batch**2).mean()})

    net = TrainingNet(module, with_parts, max_epochs=1).fit(TensorBatches(X, 2, shuffle=False), [X])
    parts, weights = [X[:2], X[2:4], X[4:]], [1.0, 5.0, 4.0]
    assert net.history[-1, "train_loss"] == pytest.approx(np.average([p.mean() for p in parts], weights=weights))
    expected = np.average([(p**2).mean() for p in parts], weights=weights)
    assert net.history[-1, "train_square"] == pytest.approx(expected)
    assert net.history[-1, "valid_square"] == pytest.approx(6.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 7, 16])
def test_micro_batches_add_up_to_the_batch(mlp, rows, weights_of, weighted, size):
    tensors = (*rows, rows[0][:, 2].abs()) if weighted else rows
    ends = []
    for micro_batch_size in (None, size):
        module = mlp()
        net = TrainingNet(module, ClassificationStep(), max_epochs=2, lr=0.05, micro_batch_size=micro_batch_size)
        net.fit(TensorBatches(tensors, 16), TensorBatches(tensors, 16, shuffle=False))
        ends.append((weights_of(module), net.history[:, "train_loss"], net.history[:, "valid_loss"]))
    torch.testing.assert_close(ends[0][0], ends[1][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ends[0][1:], ends[1][1:], rtol=1e-4)


class TooLarge:
    """A step that runs out of memory above a number of rows."""

    def __init__(self, most):
        self.most = most
        self.sizes = []

    def __call__(self, module, batch):
        loss = ClassificationStep()(module, batch)
        if len(batch[1]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(batch[1]))
        return loss


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_result(mlp, rows, weights_of):
    expected, module, step = mlp(), mlp(), TooLarge(5)
    TrainingNet(expected, ClassificationStep(), max_epochs=2, lr=0.05).fit(TensorBatches(rows, 25))
    net = TrainingNet(module, step, max_epochs=2, lr=0.05)
    with pytest.warns(UserWarning, match="rows at a time") as warned:
        net.fit(TensorBatches(rows, 25))
    assert [str(w.message).split("network ")[1].split()[0] for w in warned] == ["13", "7", "4"]
    torch.testing.assert_close(weights_of(module), weights_of(expected), rtol=1e-4, atol=1e-5)
    assert net.clock_.micro_batch_size == 4  # 25, 13, 7, 4
    assert step.sizes == [4, 4, 4, 4, 4, 4, 1] * 4


def test_out_of_memory_in_validation_is_halved_too(mlp, rows):
    step = TooLarge(30)
    net = TrainingNet(mlp(), ClassificationStep(), valid_step=step, max_epochs=1)
    with pytest.warns(UserWarning, match="25 rows at a time"):
        net.fit(TensorBatches(rows, 10), TensorBatches(rows, 50, shuffle=False))
    assert step.sizes == [25, 25]


@pytest.mark.parametrize(("most", "split", "match"), [(0, True, "one row at a time"), (5, False, "needs the batch")])
def test_out_of_memory_that_cannot_be_helped_says_why(mlp, rows, most, split, match):
    net = TrainingNet(mlp(), TooLarge(most), max_epochs=1, **({} if split else {"split": None}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.OutOfMemoryError) as caught:
            net.fit(TensorBatches(rows, 25))
    assert match in caught.value.__notes__[0]


def test_batches_of_two_lengths_are_not_cut_by_row(mlp, rows):
    step = TooLarge(3)
    net = TrainingNet(mlp(), lambda module, batch: step(module, batch[:2]), max_epochs=1)
    with pytest.warns(UserWarning, match="Out of memory"), pytest.raises(ValueError, match="split"):
        net.fit([(rows[0][:8], rows[1][:8], rows[0][:5])])


@pytest.mark.parametrize(
    ("step", "error", "match"),
    [
        (lambda module, batch: module(batch[0]), TypeError, r"shape \(10, 3\)"),
        (lambda module, batch: 0.5, TypeError, "float"),
        (lambda module, batch: module(batch[0]).detach().mean(), ValueError, "frozen"),
    ],
)
def test_steps_that_return_no_loss_are_told_so(mlp, rows, step, error, match):
    with pytest.raises(error, match=match):
        TrainingNet(mlp(), step, max_epochs=1).fit(TensorBatches(rows, 10))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights(mlp, rows):
    seen = []

    def step(module, batch):
        logits = module(batch[0])
        seen.append(logits.dtype)
        return F.cross_entropy(logits, batch[1])

    module = mlp()
    net = TrainingNet(module, step, dtype=torch.bfloat16, max_epochs=5, lr=0.05).fit(TensorBatches(rows, 10))
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_float16_scales_its_loss(mlp, rows, weights_of):
    expected, module = mlp(), mlp()
    options = {"max_epochs": 2, "lr": 0.01, "clip_norm": 1.0, "micro_batch_size": 4}
    TrainingNet(expected, ClassificationStep(), **options).fit(TensorBatches(rows, 10))
    TrainingNet(module, ClassificationStep(), dtype=torch.float16, **options).fit(TensorBatches(rows, 10))
    assert not torch.equal(weights_of(module), weights_of(mlp()))
    torch.testing.assert_close(weights_of(module), weights_of(expected), rtol=0.05, atol=0.05)


def test_average_is_the_closed_form(make_module):
    module = make_module((nn.Linear, 1, 1, False))
    weight = module[0].weight
    average = WeightAverage(module, 0.5)
    values = [weight.item()]
    for value in (1.0, 2.0, -3.0, 4.0):
        with torch.no_grad():
            weight.fill_(value)
        average.update()
        values.append(value)
    # each update's weight is what it adds, times what the later ones keep; the decay is 2/11, 3/12, 4/13, 5/14 < 1/2
    decays = [2 / 11, 3 / 12, 4 / 13, 5 / 14]
    shares = [np.prod(decays[i:]) * (1 - decays[i - 1] if i else 1) for i in range(5)]
    assert sum(shares) == pytest.approx(1)
    average.show(True)
    assert weight.item() == pytest.approx(float(np.dot(shares, values)), rel=1e-6)
    average.show(False)
    assert weight.item() == 4.0
    with pytest.raises(ValueError, match="decay"):
        WeightAverage(module, 1.0)
