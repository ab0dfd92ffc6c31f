"""What the training loop costs beside a bare PyTorch loop and stock skorch.

The same network from the same weights, the same optimizer and the same batches go through three loops: the one a
good engineer writes by hand (tensors in memory, a permutation, slices, the loss summed and read once an epoch), the
library's, and skorch's NeuralNetClassifier as it comes. All three must end with the same weights.
"""

from __future__ import annotations

import copy
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from _common import interleaved, machine, parser, print_table, ratio, write_results
from skorch import NeuralNetClassifier
from torch import nn

from sktl.training import ClassificationStep, TensorBatches, TrainingNet

BATCH = 64
SEED = 0


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


CASES = {
    "MLP 256-128-10, 20,000 rows": (mlp, (256,), 20_000),
    "LeNet on 28x28, 6,000 rows": (lenet, (1, 28, 28), 6_000),
}
OPTIMIZERS = {
    "SGD": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "AdamW, fused": (torch.optim.AdamW, {"lr": 1e-3, "fused": True}),
}


class SameOrder(torch.utils.data.Sampler):
    """Gives skorch's loader the permutations that the other two loops draw."""

    def __init__(self, n: int, device: str):
        self.n, self.device = n, device
        self.generator = torch.Generator(device).manual_seed(SEED)

    def __len__(self) -> int:
        return self.n

    def __iter__(self):
        return iter(torch.randperm(self.n, generator=self.generator, device=self.device).tolist())


class SeededLoader(torch.utils.data.DataLoader):
    """skorch's own loader, but in the order that is given."""

    def __init__(self, dataset, batch_size, order_device):
        super().__init__(dataset, batch_size=batch_size, sampler=SameOrder(len(dataset), order_device))


def bare(module, X, y, optimizer_class, options, n_epochs):
    generator = torch.Generator(X.device).manual_seed(SEED)
    optimizer = optimizer_class(module.parameters(), **options)
    module.train()
    losses = []
    for _ in range(n_epochs):
        order = torch.randperm(len(X), generator=generator, device=X.device)
        total = torch.zeros((), device=X.device)
        for rows in order.split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(module(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        losses.append(total.item() / len(X))
    return module, losses


def library(module, X, y, optimizer_class, options, n_epochs):
    lr = options["lr"]
    rest = {name: value for name, value in options.items() if name != "lr"}
    net = TrainingNet(
        module, ClassificationStep(), optimizer=optimizer_class, lr=lr, optimizer_options=rest,
        max_epochs=n_epochs, device=X.device,
    )  # fmt: skip
    net.fit(TensorBatches((X, y), BATCH, seed=SEED))
    return module, net.history[:, "train_loss"]


def stock_skorch(module, X, y, optimizer_class, options, n_epochs):
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, optimizer=optimizer_class, max_epochs=n_epochs, batch_size=BATCH,
        train_split=None, verbose=0, device=str(X.device), iterator_train=SeededLoader,
        iterator_train__order_device=str(X.device), classes=list(range(10)),
        **{f"optimizer__{name}": value for name, value in options.items()},
    )  # fmt: skip
    net.fit(X, y)
    return module, net.history[:, "train_loss"]


LOOPS = {"bare": bare, "sktl": library, "skorch": stock_skorch}


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed_run(loop, template, *args) -> float:
    module = copy.deepcopy(template)
    device = str(args[0].device)
    synchronize(device)
    start = time.perf_counter()
    loop(module, *args)
    synchronize(device)
    return time.perf_counter() - start


def check_same(template, *args) -> float:
    """Run all loops once; returns how far the weights are apart, relative to how far they moved."""
    ends = {name: loop(copy.deepcopy(template), *args) for name, loop in LOOPS.items()}
    start = nn.utils.parameters_to_vector(template.parameters()).detach()
    weights = {name: nn.utils.parameters_to_vector(m.parameters()).detach() for name, (m, _) in ends.items()}
    moved = float((weights["bare"] - start).norm())
    apart = max(float((weights[name] - weights["bare"]).norm()) for name in ("sktl", "skorch")) / moved
    assert apart < 1e-3, f"the loops do not end with the same weights: {apart:.1e} of their way apart"
    for name in ("sktl", "skorch"):
        np.testing.assert_allclose(ends[name][1], ends["bare"][1], rtol=1e-3)
    return apart


def main() -> None:
    options = parser(__doc__, rounds=15)
    options.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: %(default)s)")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    rounds = 2 if options.quick else options.rounds
    results: dict = {"machine": machine(), "batch_size": BATCH, "rounds": rounds, "cases": []}
    rows = []
    for device in ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]:
        for case, (make, shape, n) in CASES.items():
            torch.manual_seed(SEED)
            n = 640 if options.quick else n
            X, y = torch.randn(n, *shape, device=device), torch.randint(0, 10, (n,), device=device)
            template = make().to(device)
            for optimizer, (optimizer_class, optimizer_options) in OPTIMIZERS.items():
                apart = check_same(template, X, y, optimizer_class, optimizer_options, 1)
                seconds = interleaved(
                    {
                        name: lambda loop=loop: timed_run(loop, template, X, y, optimizer_class, optimizer_options, 1)  # noqa: B023
                        for name, loop in LOOPS.items()
                    },
                    rounds,
                )
                steps = -(-n // BATCH)
                medians = {name: statistics.median(values) for name, values in seconds.items()}
                against = {name: ratio(seconds[name], seconds["bare"]) for name in ("sktl", "skorch")}
                results["cases"].append(
                    {
                        "case": case,
                        "device": device,
                        "optimizer": optimizer,
                        "microseconds_a_step": {name: round(1e6 * m / steps, 1) for name, m in medians.items()},
                        "times_the_bare_loop": against,
                        "weights_apart": apart,
                    }
                )
                micro = [f"{1e6 * medians[name] / steps:.0f}" for name in LOOPS]
                times = [f"{against[name]['of_medians']:.2f}x" for name in ("sktl", "skorch")]
                rows.append([case, device, optimizer, *micro, *times])
    print_table(
        ["case", "device", "optimizer", "bare, us a step", "sktl", "skorch", "sktl / bare", "skorch / bare"], rows
    )
    write_results("loop_overhead", results, options)


if __name__ == "__main__":
    main()
