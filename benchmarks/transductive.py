"""Transductive inference on a pretrained network's codes: what it gains over prototypes, and how fast it is.

Claims: classified together, the queries of a task gain over nearest prototypes on the same codes, most from one
example a class; on the same features accuracy is that of easyfsl's implementations within the confidence interval, at
10 times their tasks a second or more.

Protocol: PACS' seven classes, codes of the embedded EfficientNet-Lite0 at `--image-size` pixels; 5 ways, 1 and 5
shots, 75 queries, 1,000 tasks in each of the four domains, the same tasks for all. All are given codes of unit length.

- gain: accuracy less that of the nearest prototype, task by task, with its 95% interval. "balanced": 15 queries a
  class, which most of these methods assume; "unbalanced": class shares drawn from a Dirichlet distribution of
  concentration 2, where the variants that assume less are shown beside.
- peer: easyfsl's methods with its defaults, one task after another as its API has it; ours with the settings that come
  nearest to its. PT-MAP there leaves its transformed codes at any length, so it is given codes that its transform
  brings to length one.
- speed: one call on all tasks against the peer's loop, in turns, on the first domain; indexing of the codes included.

Results are written after each setting; ``--resume`` goes on from the file. Of the settings only BD-CSPN's sharpness was
looked for on these data. Run ``python benchmarks/transductive.py --peers FOLDER`` (``pip install --target FOLDER
easyfsl``); `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from _common import RESULTS, data_path, interleaved, machine, parser, peer, print_table, ratio, write_results

from sktl.features import CNNCodesTransformer
from sktl.fewshot import EpisodeIndices, EpisodeSampler
from sktl.fewshot.heads import PrototypeHead
from sktl.fewshot.transductive import BDCSPN, PTMAP, TIM, LaplacianShot, TransductiveMethod
from sktl.model_selection import EpisodeScores

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
WAYS, QUERIES, CONCENTRATION = 5, 15, 2.0
METHODS: dict[str, TransductiveMethod] = {
    "BD-CSPN": BDCSPN(),
    "LaplacianShot": LaplacianShot(),
    "LaplacianShot, not rectified": LaplacianShot(rectify=False),
    "TIM": TIM(),
    "PT-MAP": PTMAP(),
    "PT-MAP, no balance": PTMAP(0.0, center=False),
}
# easyfsl's settings in ours; it counts a query among its own neighbours, and classifies queries where they were before
# the shift.
LIKE_PEER: dict[str, TransductiveMethod] = {
    "BDCSPN": BDCSPN(n_confident=None),
    "LaplacianShot": LaplacianShot(),
    "TIM": TIM("gd", distance="cosine", temperature=10.0, support_weight=1.0, n_iter=50),
    "PTMAP": PTMAP(center=False, n_iter=10),
}
DEFAULTS = {"BDCSPN": "BD-CSPN", "LaplacianShot": "LaplacianShot", "TIM": "TIM", "PTMAP": "PT-MAP"}


def drawn(y: np.ndarray, shots: int, n_tasks: int, *, balanced: bool) -> EpisodeIndices:
    """Return the tasks: as many queries of each class, or as many in all by random class shares."""
    n_query = WAYS * QUERIES
    if balanced:
        return EpisodeSampler(y, n_way=WAYS, n_shot=shots, n_query=QUERIES).draw(n_tasks)
    each = EpisodeSampler(y, n_way=WAYS, n_shot=shots, n_query=n_query).draw(n_tasks)
    rng = np.random.default_rng(0)
    counts = np.stack([rng.multinomial(n_query, rng.dirichlet([CONCENTRATION] * WAYS)) for _ in range(n_tasks)])
    is_taken = torch.from_numpy(np.arange(n_query) < counts[..., None]).flatten(1)  # (n_tasks, WAYS * n_query)
    query, query_y = (part[is_taken].view(n_tasks, n_query) for part in (each.query, each.query_y))
    return EpisodeIndices(each.support, each.support_y, query, query_y, WAYS)


def accuracies(logits: np.ndarray, tasks: EpisodeIndices) -> np.ndarray:
    return (logits.argmax(-1) == tasks.query_y.numpy()).mean(1)


def prototype_logits(codes: torch.Tensor, tasks: EpisodeIndices) -> np.ndarray:
    parts = []
    with torch.no_grad():
        for i in range(len(tasks.query)):
            support, query = codes[tasks.support[i]], codes[tasks.query[i]]
            parts.append(PrototypeHead()(support, tasks.support_y[i], query, WAYS))
    return torch.stack(parts).numpy()


def peer_logits(model: Any, codes: torch.Tensor, tasks: EpisodeIndices) -> np.ndarray:
    """Return what a method of easyfsl says, as its users call it."""
    parts = []
    with torch.no_grad():
        for i in range(len(tasks.query)):
            model.process_support_set(codes[tasks.support[i]], tasks.support_y[i])
            parts.append(model(codes[tasks.query[i]]))
    return torch.stack(parts).cpu().numpy()


def peer_codes(name: str, codes: torch.Tensor) -> torch.Tensor:
    """Return what a method of easyfsl is given."""
    return PTMAP().prepared(codes).square() if name == "PTMAP" else codes


def interval(values: np.ndarray) -> dict[str, float]:
    scores = EpisodeScores(100 * values)
    return {"mean": round(scores.mean, 2), "ci95": round(scores.ci95, 2)}


def gains(codes: torch.Tensor, y: np.ndarray, shots: int, n_tasks: int, device: str) -> dict[str, Any]:
    """Return accuracies of prototypes and what each method adds, on balanced and unbalanced queries."""
    results: dict[str, Any] = {}
    for kind in ("balanced", "unbalanced"):
        tasks = drawn(y, shots, n_tasks, balanced=kind == "balanced")
        plain = accuracies(prototype_logits(codes, tasks), tasks)
        results[kind] = {"prototypes": interval(plain)}
        for name, method in METHODS.items():
            found = accuracies(method.episode_logits(codes.numpy(), tasks, device=device), tasks)
            results[kind][name] = {"accuracy": interval(found), "gain": interval(found - plain)}
    return results


def against_peer(
    methods: Any, codes: torch.Tensor, y: np.ndarray, shots: int, n_tasks: int, device: str
) -> dict[str, Any]:
    """Return accuracies on the same tasks, and whether they agree within the peer's interval."""
    tasks = drawn(y, shots, n_tasks, balanced=True)
    results = {}
    for name, ours in LIKE_PEER.items():
        theirs = accuracies(peer_logits(getattr(methods, name)(), peer_codes(name, codes), tasks), tasks)
        like = accuracies(ours.episode_logits(codes.numpy(), tasks, device=device), tasks)
        default = accuracies(METHODS[DEFAULTS[name]].episode_logits(codes.numpy(), tasks, device=device), tasks)
        apart, width = 100 * (like - theirs).mean(), interval(theirs)["ci95"]
        results[name] = {
            "easyfsl": interval(theirs),
            "sktl, its settings": interval(like),
            "difference": interval(like - theirs),
            "sktl, defaults": interval(default),
            "default's difference": interval(default - theirs),
            "verdict": "equal" if abs(apart) <= width else "better" if apart > 0 else "worse",
        }
        assert apart >= -width, f"{name}, {shots} shots: {apart:.2f} points below easyfsl's, whose interval is {width}"
    return results


def race(
    methods: Any, codes: torch.Tensor, y: np.ndarray, shots: int, sizes: tuple[int, int], rounds: int, device: str
) -> dict[str, Any]:
    """Return tasks a second, ours by default and with the peer's settings, and how many times the peer's."""
    few, many = (drawn(y, shots, n, balanced=True) for n in sizes)
    placed = codes.to(device)
    on_device = few.apply(lambda part: part.to(device))
    table, results = codes.numpy(), {}
    for name, like in LIKE_PEER.items():
        theirs, given = getattr(methods, name)().to(device), peer_codes(name, placed)
        contenders: dict[str, Callable[[], Any]] = {
            "easyfsl": lambda m=theirs, c=given: peer_logits(m, c, on_device),
            "sktl, defaults": lambda m=METHODS[DEFAULTS[name]]: m.episode_logits(table, many, device=device),
            "sktl, its settings": lambda m=like: m.episode_logits(table, many, device=device),
        }
        for run in contenders.values():
            run()  # warm up
        seconds = interleaved(contenders, rounds)
        a_task = {who: [t / sizes[who != "easyfsl"] for t in times] for who, times in seconds.items()}
        results[name] = {
            "tasks_per_second": {who: round(1 / statistics.median(times), 1) for who, times in a_task.items()},
            "times_as_fast": {who: ratio(a_task["easyfsl"], a_task[who]) for who in contenders if who != "easyfsl"},
            "seconds": {who: [round(t, 4) for t in times] for who, times in seconds.items()},
        }
    return results


def codes_of(domain: str, image_size: int, most: int | None) -> tuple[torch.Tensor, np.ndarray]:
    folders = sorted(path for path in data_path(f"pacs/{domain}").iterdir() if path.is_dir())
    paths = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[:most]]
    codes = CNNCodesTransformer(image_size=image_size).fit_transform(paths)
    return F.normalize(torch.from_numpy(codes).float(), dim=1), np.array([path.parent.name for path in paths])


def text(cell: dict[str, float], sign: str = "") -> str:
    return f"{cell['mean']:{sign}.1f} +- {cell['ci95']:.1f}"


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--peers", help="a folder with easyfsl, put on the path")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--image-size", type=int, default=160, help="pixels a side (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="go on from the results that are there")
    options.add_argument("--no-race", action="store_true", help="accuracies alone; speeds stay as the file has them")
    options.add_argument("--tasks", type=int, default=1000, help="tasks a setting (default: %(default)s)")
    args = options.parse_args()
    if args.peers:
        sys.path.append(args.peers)
    n_tasks, size, rounds = (20, 32, 1) if args.quick else (args.tasks, args.image_size, args.rounds)
    start, described = time.perf_counter(), machine()
    methods, reason = peer("easyfsl.methods")
    path = args.output or RESULTS / "transductive.json"
    earlier = json.loads(path.read_text()) if args.resume and path.exists() else {}
    gained: dict[str, Any] = earlier.get("gains", {})
    compared: dict[str, Any] = earlier.get("against_easyfsl", {})
    speeds: dict[str, Any] = earlier.get("speed", {})
    about = {
        "machine": described,
        "device": args.device,
        "image_size": size,
        "n_tasks": n_tasks,
        "skipped": {} if reason is None else {"easyfsl": reason},
    }
    for domain in DOMAINS[::3] if args.quick else DOMAINS:
        codes, y = codes_of(domain, size, 85 if args.quick else None)
        for shots in (1, 5):
            setting = f"{domain}, {shots} shot"
            if setting in gained:
                continue
            gained[setting] = gains(codes, y, shots, n_tasks, args.device)
            if methods is not None:
                compared[setting] = against_peer(methods, codes, y, shots, n_tasks, args.device)
                if domain == DOMAINS[0] and not args.no_race:
                    sizes = (5, 20) if args.quick else (50, n_tasks)
                    speeds[f"{shots} shot"] = race(methods, codes, y, shots, sizes, rounds, args.device)
            seconds = round(earlier.get("seconds", 0) + time.perf_counter() - start, 1)
            content = {"seconds": seconds, "gains": gained, "against_easyfsl": compared, "speed": speeds}
            write_results("transductive", about | content, args)
    for kind in ("balanced", "unbalanced"):
        print(f"\n{kind} queries: prototypes' accuracy, and what is gained")
        rows = [["prototypes", *(text(one[kind]["prototypes"]) for one in gained.values())]]
        rows += [[name, *(text(one[kind][name]["gain"], "+") for one in gained.values())] for name in METHODS]
        print_table(["", *gained], rows)
    if methods is None:
        print(f"\neasyfsl is left out: {reason}")
    else:
        print("\nthe same tasks by easyfsl: accuracy, ours with its settings, ours by default")
        kinds = ("easyfsl", "sktl, its settings", "sktl, defaults")
        print_table(
            ["", *compared],
            [
                [name, *(" / ".join(text(one[name][k]) for k in kinds) for one in compared.values())]
                for name in LIKE_PEER
            ],
        )
        print("\ntasks a second")
        rows = []
        for shot, race_of in speeds.items():
            for name, one in race_of.items():
                per_second, times = one["tasks_per_second"], one["times_as_fast"]
                who = ("sktl, defaults", "sktl, its settings")
                rows.append([f"{name}, {shot}", per_second["easyfsl"], *(per_second[w] for w in who),
                             *(times[w]["of_medians"] for w in who)])  # fmt: skip
        print_table(["", "easyfsl", "sktl, defaults", "its settings", "times as fast", "its settings"], rows)


if __name__ == "__main__":
    main()
