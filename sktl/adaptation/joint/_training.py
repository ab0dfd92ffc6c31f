"""One fit, from data that were understood to a network that has learned."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from sktl._columns import check_length, row_weights
from sktl._device import resolve_device, resolve_precision
from sktl._draws import seed_of
from sktl._functional import single_row_explained
from sktl._inputs import read, understand
from sktl._magnitudes import length_scaler, scaled, standardiser
from sktl._torch_datasets import refuse_silent_targets
from sktl.adaptation._batches import DomainBatches, Layout, taker
from sktl.adaptation._row_changes import change_for, second_change_for
from sktl.adaptation.joint._checkpoint import kept_adaptation
from sktl.adaptation.joint._domain_batch_norm import estimate_statistics
from sktl.adaptation.joint._fitted_network import FittedNetwork
from sktl.adaptation.joint._keep_best import KeepBest
from sktl.adaptation.joint._labels import encode
from sktl.adaptation.joint._network import AdaptedNetwork, Plan, plan_pictures, plan_rows
from sktl.adaptation.joint._roles import Roles, assign
from sktl.adaptation.joint._step import AdaptationStep, Training
from sktl.adaptation.losses import DomainLoss, get_losses
from sktl.training import PRETRAINED_SHARE, KeepEpochs, TrainingNet, to_largest

LABELLED_TARGET_SHARE = 4  # one row in so many of the target's half has a label, where there are any
LEAST_UPDATES = 300  # for feature rows, where the user leaves the length of training open
SGD_RATE, SGD_RATE_OF_ROWS, ADAM_RATE = 0.01, 0.03, 1e-3
STATISTICS_BATCH = 256
ROW_OPTIONS: dict[str, Any] = {"dtype": [np.float64, np.float32], "accept_sparse": "csr"}


@dataclasses.dataclass(frozen=True)
class Budget:
    """Rows of each domain in a batch, batches an epoch, and epochs."""

    batch_size: int
    steps_per_epoch: int
    max_epochs: int


def budget_for(estimator: Any, n_largest: int, plan: Plan) -> Budget:
    """Return how long to train: what the user leaves open goes by the largest part of the data."""
    if estimator.batch_size == "auto":
        size = 32 if plan.is_pretrained else 64
    else:
        size = min(int(estimator.batch_size), n_largest)  # no row of the largest part twice
    steps = -(-n_largest // size) if estimator.steps_per_epoch == "auto" else int(estimator.steps_per_epoch)
    epochs = (10 if plan.is_pretrained else 20) if estimator.max_epochs == "auto" else int(estimator.max_epochs)
    if plan.is_own and estimator.max_epochs == "auto" and estimator.steps_per_epoch == "auto":
        epochs = max(epochs, -(-LEAST_UPDATES // steps))
    return Budget(size, steps, epochs)


@dataclasses.dataclass
class DomainTraining:
    """The data of one fit and what was decided about it.

    Attributes
    ----------
    estimator : DomainAdaptedClassifier
        Its parameters are read, nothing is written to it.
    data : array, CSR matrix or PictureSource
        All rows.
    codes : int64 array
        Class codes; -1 where a row is unlabelled.
    weights : float64 array or None
        One a row; those of labelled rows have mean 1 in what batches draw.
    losses : list of DomainLoss
        The ones that have what they need.
    seeds : array of int
        For the network, the losses, the batches, the training, in this order.
    keeper : KeepEpochs or None
        Keeps checkpoints.
    saved : dict or None
        The checkpoint to go on from.
    """

    estimator: Any
    data: Any
    codes: np.ndarray
    n_classes: int
    weights: np.ndarray | None
    roles: Roles
    losses: list[DomainLoss]
    plan: Plan
    device: torch.device
    seeds: np.ndarray
    keeper: KeepEpochs | None = None
    saved: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        roles = self.roles
        self.scaler: StandardScaler | None = None
        is_sparse = sparse.issparse(self.data)
        if self.plan.is_own and not (
            is_sparse and self.estimator.bottleneck is not None
        ):  # its batch norm scales those
            rows = np.union1d(roles.labelled, roles.target)
            weights = None if self.weights is None else self.weights[rows]
            of_rows = length_scaler if is_sparse else standardiser
            self.scaler = of_rows(self.data[rows], weights)
            self.data = scaled(self.data, self.scaler)
        self.uses_target = any(loss.needs_target for loss in self.losses)
        self.budget = budget_for(self.estimator, self._n_largest(), self.plan)
        if self.weights is not None:
            self.weights = self.weights / self._mean_weight(self.weights)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the layers; "auto" is float32 for small networks, which casts would slow down."""
        is_auto = self.estimator.precision == "auto"
        if self.plan.preprocessing is None or (is_auto and not self.plan.is_pretrained):
            return torch.float32
        return resolve_precision(self.estimator.precision, self.device)

    def _n_largest(self) -> int:
        n_sources = [len(rows) * len(self.roles.sources) for rows in self.roles.sources]
        return max([*n_sources, len(self.roles.target_labelled), len(self.roles.target) if self.uses_target else 1])

    def _mean_weight(self, weights: np.ndarray) -> float:
        """Return the mean weight of a labelled row as batches draw them, each part by its share of a batch."""
        layout, parts = self.layout()
        parts = parts[: len(layout.sizes) + (layout.n_target_labelled > 0)]
        return float(np.average([weights[rows].mean() for rows, _ in parts], weights=[size for _, size in parts]))

    def network(self) -> AdaptedNetwork:
        """Return the network as training finds it."""
        e = self.estimator
        n_bottleneck = None if e.bottleneck is None else int(e.bottleneck)
        is_separate = e.batch_norm == "separate" and self.uses_target
        network = self.plan.build(
            self.n_classes, n_bottleneck, e.head, is_separate=is_separate, seed=int(self.seeds[0])
        )
        if self.plan.preprocessing is not None and (self.device.type == "cpu" or self.dtype != torch.float32):
            network.use_channels_last()
        return network

    def layout(self) -> tuple[Layout, list[tuple[np.ndarray, int]]]:
        """Return what a batch holds, and the rows of each of its parts."""
        roles, size = self.roles, self.budget.batch_size
        sources = roles.sources or [roles.target_labelled]
        target_labelled = roles.target_labelled if roles.sources else roles.target_labelled[:0]
        share = max(1, -(-size // len(sources)))
        n_labelled = max(1, size // LABELLED_TARGET_SHARE) if len(target_labelled) else 0
        n_other = max(size - n_labelled, 1) if self.uses_target else 0
        has_second_view = any(loss.needs_second_view for loss in self.losses)
        means = None if self.weights is None else tuple(float(self.weights[rows].mean()) for rows in sources)
        layout = Layout((share,) * len(sources), n_labelled, n_labelled + n_other, has_second_view, means)
        parts = [(rows, share) for rows in sources]
        parts += [(target_labelled, n_labelled)] if n_labelled else []
        parts += [(roles.target, n_other)] if n_other else []
        return layout, parts

    def batches(self) -> DomainBatches:
        """Return the training batches."""
        layout, parts = self.layout()
        is_rows = self.plan.preprocessing is None
        weights = None if self.weights is None else torch.from_numpy(self.weights.astype(np.float32)).to(self.device)
        return DomainBatches(
            self._take(),
            torch.from_numpy(self.codes).to(self.device),
            weights,
            parts,
            layout,
            n_batches=self.budget.steps_per_epoch,
            n_epochs=self.budget.max_epochs,
            device=self.device,
            change=change_for(self.estimator.augment, is_rows=is_rows),
            second_change=second_change_for(is_rows=is_rows),
            seed=int(self.seeds[2]),
        )

    def _take(self) -> Any:
        return taker(self.data, self.plan.preprocessing, self.plan.n_channels, self.estimator.n_jobs, self.device)

    @property
    def learning_rate(self) -> float:
        """Return the rate of the new layers at its peak."""
        e = self.estimator
        if e.learning_rate != "auto":
            return float(e.learning_rate)
        of_sgd = SGD_RATE_OF_ROWS if self.plan.is_own else SGD_RATE
        return of_sgd if e.optimizer == "sgd" else ADAM_RATE

    def resolved(self, network: AdaptedNetwork) -> dict[str, Any]:
        """Return what "auto" became, as fitted attributes."""
        return {
            "learning_rate_": self.learning_rate, "batch_size_": self.budget.batch_size,
            "steps_per_epoch_": self.budget.steps_per_epoch, "max_epochs_": self.budget.max_epochs,
            "augment_": self.estimator.augment,
            "domains_": self.roles.domains, "is_target_domain_": self.roles.is_target_domain,
            "n_trained_": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "n_parameters_": sum(p.numel() for p in network.parameters()),
        }  # fmt: skip

    def net(self, network: AdaptedNetwork, layout: Layout, selection: KeepBest | None) -> TrainingNet:
        """Return the loop."""
        e = self.estimator
        training = Training(network, self.losses, self.n_classes, int(self.seeds[1]))
        rate = self.learning_rate
        body = [p for p in network.backbone.parameters() if p.requires_grad]
        of_body = {id(p) for p in body}
        rest = [p for p in training.parameters() if p.requires_grad and id(p) not in of_body]
        groups = [
            {"params": rest, "lr": rate},
            {"params": body, "lr": rate * (PRETRAINED_SHARE if self.plan.is_pretrained else 1.0)},
        ]
        own: list[tuple[str, Any]] = [] if selection is None else [("sktl_selection", selection)]
        own += [] if self.keeper is None else [("sktl_checkpoint", self.keeper)]
        return TrainingNet(
            training, AdaptationStep(self.losses, layout, float(e.label_smoothing)), optimizer=e.optimizer,
            param_groups=groups, weight_decay=float(e.weight_decay), schedule=e.schedule,
            max_epochs=self.budget.max_epochs, split=None, dtype=self.dtype, keep_last_good=True, classify=True,
            device=self.device, random_state=int(self.seeds[3]), callbacks=[*(e.callbacks or []), *own],
            verbose=int(e.verbose),
        )  # fmt: skip

    def learned(self, network: AdaptedNetwork) -> FittedNetwork:
        """Return the network as something that predicts; it is taken over."""
        learned = FittedNetwork(network, self.plan.preprocessing, self.plan.n_channels, self.plan.is_own)
        learned.name = self.estimator.backbone if isinstance(self.estimator.backbone, str) else None
        return learned

    @torch.no_grad()
    def use_target_statistics(self, network: AdaptedNetwork, take: Any) -> None:
        """Let batch norm predict with the statistics of the target rows."""
        rows = np.random.default_rng(int(self.seeds[2])).permutation(self.roles.target)
        n_batches = max(1, len(rows) // STATISTICS_BATCH)
        size = min(len(rows), STATISTICS_BATCH)
        network.split.n_source = None
        with single_row_explained("Pass more target rows, or use batch_norm='shared'."):
            estimate_statistics(network, take(torch.from_numpy(rows[: n_batches * size].reshape(n_batches, size))))

    @classmethod
    def of(
        cls, estimator: Any, X: Any, y: Any, sample_domain: Any, sample_weight: Any,
        lasting: contextlib.ExitStack | None = None,
    ) -> tuple[DomainTraining, dict[str, Any]]:  # fmt: skip
        """Read the data; returns the training to come and the attributes that are learned of them.

        Everything that can be wrong with the input is found here, before any work is done.
        """
        losses = get_losses(estimator.loss)
        for loss in losses:
            loss._validate_params()
        device = resolve_device(estimator.device)
        refuse_silent_targets(X, y, estimator)
        codes, classes = encode(y, estimator.unlabelled, type(estimator).__name__)
        kind = understand(estimator, X, estimator.backbone)
        data = read(estimator, X, kind, reset=True, **ROW_OPTIONS)
        n_rows = data.shape[0] if kind.is_rows else len(data)
        check_length(codes, n_rows, "y")
        weight = None
        if sample_weight is not None:
            weight = to_largest(row_weights(sample_weight, n_rows))
        roles = assign(codes, sample_domain, estimator.target_domain, weight, losses)
        if len(roles.target) == 0:
            losses = [loss for loss in losses if not loss.needs_target]
        seed = seed_of(estimator.random_state)
        keeper = saved = None
        if lasting is not None:
            keeper, saved, seed = kept_adaptation(estimator, data, codes, weight, roles, seed, lasting)
        seeds = np.random.SeedSequence(seed).generate_state(4) >> 1
        e = estimator
        if kind.is_rows:
            plan = plan_rows(e.backbone, e.weights, data.shape[1], int(seeds[0]))
        else:
            plan = plan_pictures(e.backbone, e.weights, data, e.image_size, e.preprocessing, int(seeds[0]))
        training = cls(estimator, data, codes, len(classes), weight, roles, losses, plan, device, seeds, keeper, saved)
        dtype = str(training.dtype).removeprefix("torch.")
        return training, {
            "classes_": classes,
            "_kind": kind,
            "_dtype": dtype,
            "_is_pretrained": plan.is_pretrained,
        }
