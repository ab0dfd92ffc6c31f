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
from sktl._functional import single_row_explained
from sktl._inputs import read, understand
from sktl._magnitudes import length_scaler, scaled, standardiser
from sktl._torch_datasets import refuse_silent_targets
from sktl.adaptation._batches import DomainBatches, Layout, taker
from sktl.adaptation._row_changes import change_for, second_change_for
from sktl.adaptation.joint._budget import budget_for
from sktl.adaptation.joint._checkpoint import kept_adaptation
from sktl.adaptation.joint._domain_batch_norm import estimate_statistics
from sktl.adaptation.joint._fitted_network import FittedNetwork
from sktl.adaptation.joint._keep_best import KeepBest
from sktl.adaptation.joint._network import AdaptedNetwork, Plan, plan_pictures, plan_rows
from sktl.adaptation.joint._residual_rows import start_solved, target_ratio
from sktl.adaptation.joint._resolved import Options, resolve
from sktl.adaptation.joint._roles import Roles, assign
from sktl.adaptation.joint._row_start import LinearModel, Part, RowStart, linear_model, n_features_of, row_start
from sktl.adaptation.joint._shares import drawn_by, given_shares, warn_of_shares
from sktl.adaptation.joint._step import AdaptationStep, Training
from sktl.adaptation.joint._target import Target
from sktl.adaptation.losses import DomainLoss, get_losses
from sktl.training import PRETRAINED_SHARE, KeepEpochs, TrainingNet, WholeBatches, processes_of, shared_seed, to_largest

LABELLED_TARGET_SHARE = 4  # one row in so many of the target's half has a label, where there are any
SGD_RATE, SGD_RATE_OF_ROWS, SGD_RATE_OF_REGRESSION, ADAM_RATE = 0.01, 0.03, 0.003, 1e-3
STATISTICS_BATCH = 256
LARGEST_GRADIENT = 5.0  # norm over a batch of a regression: numbers, unlike classes, may lie far out
WEIGHT_DECAY, LARGEST_DECAY, LARGEST_DECAY_OF_BODY = 1e-3, 10.0, 0.1  # the latter two of ridge penalties as decay
ROW_OPTIONS: dict[str, Any] = {"dtype": [np.float64, np.float32], "accept_sparse": "csr"}


@dataclasses.dataclass
class DomainTraining:
    """The data of one fit and what was decided about it.

    Attributes
    ----------
    estimator : DomainAdaptedClassifier
        Its parameters are read, nothing is written to it.
    data : array, CSR matrix or PictureSource
        All rows.
    y : Target
        What is learned of the labelled rows.
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
    y: Target
    weights: np.ndarray | None
    roles: Roles
    losses: list[DomainLoss]
    options: Options
    shares: Any
    plan: Plan
    device: torch.device
    seeds: np.ndarray
    keeper: KeepEpochs | None = None
    saved: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        roles, e = self.roles, self.estimator
        self.penalty: float | None = None  # of the ridge regression that training starts as
        self.scaler: StandardScaler | None = None
        self.start: RowStart | None = None
        self.uses_target = any(loss.needs_target for loss in self.losses)
        is_sparse = sparse.issparse(self.data)
        self.differing_shares: tuple[np.ndarray, np.ndarray] | None = None
        is_estimated, is_given = isinstance(self.shares, str), isinstance(self.shares, np.ndarray)
        self.batch_norm = "separate" if e.batch_norm == "auto" else e.batch_norm
        self.shares = self.shares if is_given or self.batch_norm == "separate" else None
        if self.plan.is_linear:
            if e.batch_norm == "auto" and self.uses_target and roles.sources and not is_given:
                self.batch_norm = self._part().batch_norm_for(self.data)
            model = linear_model(self.data, self._part())
            self._shares_of(model)
            if self.batch_norm == "shared" and self.differing_shares is not None and e.loss == "auto":
                self.losses, self.options, self.uses_target = [], self.options._replace(loss=None, losses=[]), False
            self.start = row_start(self.data, self._part(), model)
            self.data, self.scaler = self.start.data, self.start.scaler
        elif self.plan.is_own and not (is_sparse and self.options.bottleneck is not None):  # batch norm scales those
            rows = np.union1d(roles.labelled, roles.target)
            of_rows = length_scaler if is_sparse else standardiser
            self.scaler = of_rows(self.data[rows], None if self.weights is None else self.weights[rows])
            if is_estimated and self.uses_target and roles.sources and not is_sparse:
                self._shares_of(linear_model(self.data, self._part()))
            self.data = scaled(self.data, self.scaler)
        if isinstance(self.shares, str) or not self.uses_target:
            self.shares = None
        self.class_shares = self.shares if is_given or self.differing_shares is not None else None
        self.weighs_classes = self.class_shares is not None and any(loss.aligns_features for loss in self.losses)
        self.budget = budget_for(self.estimator, self._n_largest(), self.plan)
        if self.weights is not None:
            self.weights = self.weights / self._mean_weight(self.weights)

    def _part(self) -> Part:
        roles = self.roles
        source = np.concatenate(roles.sources) if roles.sources else roles.target_labelled
        target = roles.target if self.uses_target else roles.target[:0]
        is_separate = self.batch_norm == "separate"
        about = self.y.values, self.y.n_outputs, self.weights, source, target, roles.labelled, is_separate, self.shares
        return Part(*about)

    def _shares_of(self, model: LinearModel) -> None:
        """Take over what a linear model says of the classes' shares."""
        if model.shares_differ:
            assert model.shares is not None
            assert model.prior is not None
            self.differing_shares = (model.shares, model.prior)
        self.shares = model.shares

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the layers; "auto" is float32 for small networks, which casts would slow down."""
        is_auto = self.estimator.precision == "auto"
        if self.plan.preprocessing is None or (is_auto and not self.plan.is_pretrained):
            return torch.float32
        return resolve_precision(self.estimator.precision, self.device)

    @property
    def starts_linear(self) -> bool:
        """Whether the network is the library's own for the rows of a regression, and its last layer takes all of it."""
        return self.plan.is_own and not self.y.is_class and self.options.bottleneck is None

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
        is_separate = self.batch_norm == "separate" and self.uses_target and self.start is None
        network = self.plan.build(
            self.y.n_outputs, self.options.bottleneck, e._head, is_separate=is_separate, seed=int(self.seeds[0])
        )
        if self.starts_linear:
            rows = self.roles.labelled
            weights = None if self.weights is None else self.weights[rows]
            self.penalty = start_solved(
                network.backbone,  # type: ignore[arg-type]
                network.classifier,  # type: ignore[arg-type]
                self.data[rows],
                self.y.values[rows],
                weights,
                target_ratio(self.data, rows, self.roles.target),  # type: ignore[arg-type]
            )
        if self.plan.preprocessing is not None and (self.device.type == "cpu" or self.dtype != torch.float32):
            network.use_channels_last()
        if self.start is not None:
            self.start.write(network)
        return network

    def ended(self, network: AdaptedNetwork) -> AdaptedNetwork:
        """Return the trained network; without a target it goes back a part of the way to where it started."""
        if self.start is not None and not self.uses_target:
            self.start.go_back(network)
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
        n_apart = n_labelled if len(roles.unknown) else 0
        layout = Layout((share,) * len(sources), n_labelled, n_labelled + n_other, has_second_view, means, n_apart)
        drawn = [drawn_by(r, self.y.values, self.shares) for r in sources] if self.weighs_classes else sources
        parts = [(rows, share) for rows in drawn]
        parts += [(target_labelled, n_labelled)] if n_labelled else []
        parts += [(roles.drawn_target, n_other)] if n_other else []
        return layout, parts

    def batches(self) -> DomainBatches:
        """Return the training batches."""
        layout, parts = self.layout()
        is_rows = self.plan.preprocessing is None
        weights = None if self.weights is None else torch.from_numpy(self.weights.astype(np.float32)).to(self.device)
        return DomainBatches(
            self._take(),
            torch.from_numpy(self.y.values).to(self.device),
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
        of_rows = SGD_RATE_OF_ROWS if self.y.is_class else SGD_RATE_OF_REGRESSION
        of_sgd = of_rows if self.plan.is_own else SGD_RATE
        return of_sgd if self.options.optimizer == "sgd" else ADAM_RATE

    def weight_decay(self, largest: float) -> float:
        """Return the decay of weights, that of a chosen penalty up to `largest`."""
        decay = self.estimator.weight_decay
        if decay != "auto":
            return float(decay)
        return WEIGHT_DECAY if self.penalty is None else min(self.penalty, largest)

    def resolved(self, network: AdaptedNetwork) -> dict[str, Any]:
        """Return what "auto" became, as fitted attributes."""
        return {
            "learning_rate_": self.learning_rate, "batch_size_": self.budget.batch_size,
            "steps_per_epoch_": self.budget.steps_per_epoch, "max_epochs_": self.budget.max_epochs,
            "augment_": self.estimator.augment, "loss_": self.options.loss, "bottleneck_": self.options.bottleneck,
            "optimizer_": self.options.optimizer, "batch_norm_": self.batch_norm, "target_shares_": self.shares,
            "domains_": self.roles.domains, "is_target_domain_": self.roles.is_target_domain,
            "n_trained_": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "n_parameters_": sum(p.numel() for p in network.parameters()),
        }  # fmt: skip

    def net(self, network: AdaptedNetwork, layout: Layout, selection: KeepBest | None) -> TrainingNet:
        """Return the loop."""
        e = self.estimator
        training = Training(network, self.losses, self.y.n_outputs, int(self.seeds[1]))
        rate, share = self.learning_rate, PRETRAINED_SHARE if self.plan.is_pretrained else 1.0
        body = [p for p in network.backbone.parameters() if p.requires_grad]
        of_body = {id(p) for p in body}
        rest = [p for p in training.parameters() if p.requires_grad and id(p) not in of_body]
        groups: list[dict[str, Any]] = [
            {"params": rest, "lr": rate, "weight_decay": self.weight_decay(LARGEST_DECAY)},
            {"params": body, "lr": rate * share, "weight_decay": self.weight_decay(LARGEST_DECAY_OF_BODY)},
        ]
        if all(groups[0][name] == groups[1][name] for name in ("lr", "weight_decay")):
            groups = [groups[0] | {"params": [*rest, *body]}]  # a group has a kernel of its own
        own: list[tuple[str, Any]] = [] if selection is None else [("sktl_selection", selection)]
        own += [] if self.keeper is None else [("sktl_checkpoint", self.keeper)]
        processes = processes_of(e.device, WholeBatches)
        return TrainingNet(
            training, AdaptationStep(self.losses, layout, e._supervised(), processes, self.class_shares),
            optimizer=self.options.optimizer, param_groups=groups, weight_decay=self.weight_decay(LARGEST_DECAY),
            schedule=e.schedule, clip_norm=None if self.y.is_class else LARGEST_GRADIENT,
            max_epochs=self.budget.max_epochs, split=None, dtype=self.dtype, keep_last_good=True,
            classify=self.y.is_class, device=self.device, random_state=int(self.seeds[3]),
            callbacks=[*(e.callbacks or []), *own], verbose=int(e.verbose), processes=processes,
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
        for loss in () if isinstance(estimator.loss, str) and estimator.loss == "auto" else get_losses(estimator.loss):
            loss._validate_params()
        device = resolve_device(estimator.device)
        refuse_silent_targets(X, y, estimator)
        kind = understand(estimator, X, estimator.backbone)
        options = resolve(estimator, is_own=kind.is_rows and isinstance(estimator.backbone, str))
        losses = options.losses
        estimator._check_losses(losses)
        data = read(estimator, X, kind, reset=True, **ROW_OPTIONS)
        n_rows = data.shape[0] if kind.is_rows else len(data)
        weight = None if sample_weight is None else to_largest(row_weights(sample_weight, n_rows))
        target = estimator._target(y, weight)
        check_length(target.values, n_rows, "y")
        shares = given_shares(estimator.target_shares, target.learned["classes_"]) if target.is_class else None
        roles = assign(target, sample_domain, estimator.target_domain, weight, losses)
        if len(roles.target) == 0:
            losses = [loss for loss in losses if not loss.needs_target]
        seed = shared_seed(estimator.random_state, estimator.device)
        keeper = saved = None
        if lasting is not None:
            keeper, saved, seed = kept_adaptation(estimator, data, target.values, weight, roles, seed, lasting)
        seeds = np.random.SeedSequence(seed).generate_state(4) >> 1
        given = (X, y, sample_domain, sample_weight)
        target, roles = estimator._opened(target, roles, data, weight, given, options.is_own, int(seeds[0]))
        e = estimator
        if kind.is_rows:
            n_features = (
                n_features_of(data.shape[1], target.n_outputs) if options.starts_linear and target.is_class else None
            )
            plan = plan_rows(
                e.backbone, e.weights, data.shape[1], int(seeds[0]), n_features, is_regression=not target.is_class
            )
        else:
            plan = plan_pictures(e.backbone, e.weights, data, e.image_size, e.preprocessing, int(seeds[0]))
        training = cls(
            estimator, data, target, weight, roles, losses, options, shares, plan, device, seeds, keeper, saved
        )
        if training.differing_shares is not None:
            warn_of_shares(*training.differing_shares, target.learned["classes_"], training.uses_target)
        dtype = str(training.dtype).removeprefix("torch.")
        return training, target.learned | {"_kind": kind, "_dtype": dtype, "_is_pretrained": plan.is_pretrained}
