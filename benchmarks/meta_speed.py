"""Meta-training speed: episodes of prototypical networks, and updates of MAML, a second, beside the peers'.

Claims, on two CPU cores: MAML on an MLP at least 8 times as fast as learn2learn, on Conv-4 never slower; prototypical
networks at least 1.5 times as fast as the user-level path of easyfsl. On a GPU all at least 5 times.

Protocol: every contender starts from the same weights and, for MAML, trains on the same episodes, drawn beforehand; the
first losses are asserted equal before anything is timed. Contenders take turns. Adam, float32.

- ProtoNet (Conv-4, 20 ways, 1 shot, 5 queries): our loop on device-resident pictures; easyfsl's `TaskSampler`,
  `DataLoader` and `PrototypicalNetworks` on a data set in memory; the loss of the authors' code on preloaded
  tensors, one episode after another.
- MAML, second order, one and five inner steps: MLP on sinusoids (25 tasks, 10 points); Conv-4 on characters (4 tasks,
  5 ways, 1 shot, 15 queries; batch norm by the batch). Our loop; learn2learn's `MAML`; higher's `innerloop_ctx`.

Peers that cannot be imported are left out with the reason. They may lie anywhere:
``python benchmarks/meta_speed.py --peers FOLDER`` puts a folder on the path (``pip install --target FOLDER easyfsl
higher``; learn2learn needs its Cython parts built anew on Python 3.11 and later). `SKTL_DATA` names the folder of the
data.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from _common import data_path, interleaved, machine, parser, peer, print_table, ratio, write_results
from torch import nn

from sktl.fewshot import EpisodeSampler, MAMLLearner, ProtoNetLearner
from sktl.fewshot.meta_training._episodes import EpisodeBatches, Episodes
from sktl.fewshot.meta_training._inputs import InputSpec
from sktl.fewshot.meta_training._method import method_step
from sktl.training import TrainingNet

WAYS, SHOTS, QUERIES = 20, 1, 5


def trained(module: nn.Module, batches: Any, device: torch.device) -> Callable[[], None]:
    """Return our loop over the batches: the library's own net."""
    net = TrainingNet(module, method_step, optimizer="adam", lr=1e-3, max_epochs=1, device=device, warm_start=True)
    net.initialize()
    return lambda: net.partial_fit(batches, epochs=1)


def plain(network: nn.Module, loss: Callable[[Any, Any], torch.Tensor], batches: list) -> Callable[[], None]:
    """Return a peer's loop over the batches."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            loss(network, batch).backward()
            optimizer.step()
        if next(network.parameters()).is_cuda:
            torch.cuda.synchronize()

    return run


def task_loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(outputs, y) if y.is_floating_point() else F.cross_entropy(outputs, y)


def learn2learn_loss(maml: type, rate: float, steps: int) -> Callable[[nn.Module, Episodes], torch.Tensor]:
    def loss(network: nn.Module, episodes: Episodes) -> torch.Tensor:
        meta, total = maml(network, lr=rate, first_order=False), 0.0
        for x, y, query, query_y in zip(*episodes[:4]):
            learner = meta.clone()
            for _ in range(steps):
                learner.adapt(task_loss(learner(x), y))
            total = total + task_loss(learner(query), query_y)
        return total / len(episodes.support)  # type: ignore[return-value]

    return loss


def higher_loss(higher: Any, rate: float, steps: int) -> Callable[[nn.Module, Episodes], torch.Tensor]:
    def loss(network: nn.Module, episodes: Episodes) -> torch.Tensor:
        inner, total = torch.optim.SGD(network.parameters(), lr=rate), 0.0
        for x, y, query, query_y in zip(*episodes[:4]):
            with higher.innerloop_ctx(network, inner, copy_initial_weights=False) as (functional, optimizer):
                for _ in range(steps):
                    optimizer.step(task_loss(functional(x), y))
                total = total + task_loss(functional(query), query_y)
        return total / len(episodes.support)  # type: ignore[return-value]

    return loss


def maml_race(
    name: str, steps: int, n_updates: int, rounds: int, device: torch.device, skipped: dict
) -> dict[str, Any]:
    """Race MAML of so many inner steps on one of the two tasks; returns seconds a round and the ratios."""
    if name == "MLP":
        rng = np.random.default_rng(0)
        x = torch.tensor(rng.uniform(-5, 5, (25 * n_updates, 20, 1)), dtype=torch.float32, device=device)
        y = torch.sin(x + torch.tensor(rng.uniform(0, np.pi, (len(x), 1, 1)), dtype=torch.float32, device=device))
        whole = Episodes(x[:, :10], y[:, :10], x[:, 10:], y[:, 10:], 1)
        module = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU())
        spec, rate, n_outputs, n_tasks = InputSpec("feature rows", (1,)), 0.01, 1, 25
    else:
        X, labels = characters(device)
        sampler = EpisodeSampler(labels, n_way=5, n_shot=1, n_query=15, device=device)
        n_tasks, module, spec, rate, n_outputs = 4, "conv4", InputSpec("pictures", (1, 28, 28)), 0.4, 5
        (whole,) = EpisodeBatches(X, sampler, n_tasks * n_updates, 1)
    batches = [
        Episodes(*(part[i : i + n_tasks] for part in whole[:4]), whole.n_way)
        for i in range(0, n_tasks * n_updates, n_tasks)
    ]
    learner = MAMLLearner(module, inner_steps=steps, inner_learning_rate=rate, batch_norm="transductive")
    method = learner._plan(spec, n_outputs, 0).build().to(device).train()
    losses: dict[str, Callable] = {}
    for package, make in (
        ("learn2learn", lambda m: learn2learn_loss(m.algorithms.MAML, rate, steps)),
        ("higher", lambda m: higher_loss(m, rate, steps)),
    ):
        found, reason = peer(package)
        if found is None:
            skipped[package] = reason
        else:
            losses[package] = make(found)
    first = method.loss(batches[0]).loss.item()
    contenders = {"sktl": trained(copy.deepcopy(method), batches, device)}
    for package, loss in losses.items():
        network = copy.deepcopy(method.network)
        theirs = loss(network, batches[0]).item()
        assert abs(theirs - first) < 1e-4 * max(1.0, abs(first)), f"{package}: first loss {theirs}, ours {first}"
        contenders[package] = plain(network, loss, batches)
    return raced(contenders, rounds, n_updates, {"first_loss": first, "n_tasks": n_tasks, "unit": "updates/s"})


def protonet_race(n_episodes: int, rounds: int, device: torch.device, skipped: dict) -> dict[str, Any]:
    """Race the training of prototypical networks."""
    X, labels = characters(device)
    learner = ProtoNetLearner("conv4", n_way=WAYS, n_shot=SHOTS, n_query=QUERIES)
    plan = learner._plan(InputSpec("pictures", (1, 28, 28)), WAYS, 0)
    method = plan.build().to(device).train()
    sampler = EpisodeSampler(labels, n_way=WAYS, n_shot=SHOTS, n_query=QUERIES, device=device)
    ours = copy.deepcopy(method).to(memory_format=torch.channels_last)
    contenders = {"sktl": trained(ours, EpisodeBatches(X, sampler, 1, n_episodes), device)}
    contenders["authors' loss"] = authors_path(copy.deepcopy(method.encoder), X, labels, n_episodes)
    (one,) = EpisodeBatches(X, sampler, 1, 1)
    first = method.loss(one).loss.item()
    rows = torch.cat([one.support[0], one.query[0]])
    theirs = authors_loss(copy.deepcopy(method.encoder), rows).item()
    assert abs(theirs - first) < 1e-4 * abs(first), f"authors' loss: first loss {theirs}, ours {first}"
    easyfsl, reason = peer("easyfsl.methods")
    if easyfsl is None:
        skipped["easyfsl"] = reason
    else:
        encoder = copy.deepcopy(method.encoder)
        model = easyfsl.PrototypicalNetworks(encoder).to(device)
        model.process_support_set(one.support[0], one.support_y[0])
        model.compute_features(one.query[0])
        contenders["easyfsl"] = easyfsl_path(model, X.cpu(), labels, n_episodes, device)
    return raced(contenders, rounds, n_episodes, {"first_loss": first, "unit": "episodes/s"})


def authors_loss(encoder: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Return the loss of one episode: support rows first, class by class, then the queries."""
    codes = encoder(rows)
    prototypes = codes[: WAYS * SHOTS].view(WAYS, SHOTS, -1).mean(1)
    queries = codes[WAYS * SHOTS :]
    distances = (queries.unsqueeze(1) - prototypes.unsqueeze(0)).pow(2).sum(2)  # (n_query, n_way)
    log_p = F.log_softmax(-distances, dim=1).view(WAYS, QUERIES, -1)
    target = torch.arange(WAYS, device=rows.device).view(WAYS, 1, 1).expand(WAYS, QUERIES, 1)
    return -log_p.gather(2, target).squeeze().view(-1).mean()


def authors_path(encoder: nn.Module, X: torch.Tensor, labels: np.ndarray, n_episodes: int) -> Callable[[], None]:
    by_class = [torch.from_numpy(np.flatnonzero(labels == label)).to(X.device) for label in np.unique(labels)]
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)

    def run() -> None:
        for _ in range(n_episodes):
            support, query = [], []
            for label in torch.randperm(len(by_class), generator=generator)[:WAYS].tolist():
                rows = by_class[label]
                rows = rows[torch.randperm(len(rows), generator=generator)[: SHOTS + QUERIES].to(X.device)]
                support.append(X[rows[:SHOTS]])
                query.append(X[rows[SHOTS:]])
            optimizer.zero_grad()
            loss = authors_loss(encoder, torch.cat([*support, *query]))
            loss.backward()
            optimizer.step()
            loss.item()

    return run


def easyfsl_path(model: Any, X: torch.Tensor, labels: np.ndarray, n_episodes: int, device: torch.device) -> Callable:
    from easyfsl.samplers import TaskSampler  # type: ignore[import-not-found]

    class InMemory(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return X[i].float(), int(labels[i])

        def get_labels(self) -> list[int]:
            return labels.tolist()

    data = InMemory()
    # It hands an argument on that torch's samplers no longer take.
    with mock.patch.object(torch.utils.data.Sampler, "__init__", return_value=None):
        sampler = TaskSampler(data, WAYS, SHOTS, QUERIES, n_episodes)
    loader = torch.utils.data.DataLoader(data, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> None:
        model.train()
        for support, support_labels, query, query_labels, _ in loader:
            optimizer.zero_grad()
            model.process_support_set(support.to(device), support_labels.to(device))
            loss = F.cross_entropy(model(query.to(device)), query_labels.to(device))
            loss.backward()
            optimizer.step()
            loss.item()

    return run


def raced(contenders: dict[str, Callable], rounds: int, n: int, extra: dict[str, Any]) -> dict[str, Any]:
    for run in contenders.values():
        run()  # warm up
    seconds = interleaved(contenders, rounds)
    return {
        **extra,
        "per_second": {name: round(n / statistics.median(times), 2) for name, times in seconds.items()},
        "times_as_fast_as": {name: ratio(times, seconds["sktl"]) for name, times in seconds.items() if name != "sktl"},
        "seconds": {name: [round(t, 4) for t in times] for name, times in seconds.items()},
    }


def characters(device: torch.device) -> tuple[torch.Tensor, np.ndarray]:
    with np.load(data_path("omniglot/omniglot_28.npz")) as file:
        images = file["images"][file["vinyals_split"] == "train"]
    return torch.from_numpy(images.reshape(-1, 1, 28, 28)).to(device), np.repeat(np.arange(len(images)), 20)


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--peers", help="a folder with the peers, put on the path")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = options.parse_args()
    if args.peers:
        sys.path.append(args.peers)
    device, rounds = torch.device(args.device), 1 if args.quick else args.rounds
    start, described = time.perf_counter(), machine()
    results: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    results["ProtoNet, Conv-4"] = protonet_race(3 if args.quick else 40, rounds, device, skipped)
    for name, n_updates in (("MLP", 3 if args.quick else 60), ("Conv-4", 1 if args.quick else 6)):
        for steps in (1, 5):
            race = maml_race(name, steps, n_updates, rounds, device, skipped)
            results[f"MAML, {name}, {steps} step{'s' * (steps > 1)}"] = race
    rows = []
    for name, race in results.items():
        for peer_name, times in race["times_as_fast_as"].items():
            speeds = race["per_second"]
            span = f"{times['smallest_of_a_round']} to {times['largest_of_a_round']}"
            rows.append([name, race["unit"], speeds["sktl"], peer_name, speeds[peer_name], times["of_medians"], span])
    print()
    print_table(["race", "unit", "sktl", "peer", "its speed", "times as fast", "by round"], rows)
    for package, reason in skipped.items():
        print(f"\n{package} is left out: {reason}")
    seconds = round(time.perf_counter() - start, 1)
    content = {"machine": described, "device": str(device), "seconds": seconds, "skipped": skipped, "results": results}
    write_results("meta_speed", content, args)


if __name__ == "__main__":
    main()
