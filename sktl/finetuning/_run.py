"""One training by gradients, from a job to a network that has learned."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from sktl.cache import MemoryCache
from sktl.exceptions import CacheWarning
from sktl.finetuning._budget import Budget
from sktl.finetuning._frozen import Blocks, FrozenPart, RestNetwork, block_extractor, cuts_before, is_untouched
from sktl.finetuning._heads import LinearHead
from sktl.finetuning._job import VALID_BATCH, Job, extractor_of
from sktl.finetuning._learned import LearnedNetwork
from sktl.finetuning._networks import PictureSpec
from sktl.training import EpochTasks, TrainingNet

KEPT_VIEWS = 16  # of each picture, at most, unless training meets more


class Run:
    """The network of a fit, what of it is trained, and on what.

    Parameters
    ----------
    job : Job
        The data and the decisions.
    learned : LearnedNetwork or None
        What an earlier fit has learned, to go on from.
    schedule : str, callable or None
        Of the rates.
    """

    def __init__(self, job: Job, learned: LearnedNetwork | None, *, schedule: Any):
        self.job = job
        self.budget: Budget = job.budget()
        self.goes_on = learned is not None
        self.head: LinearHead | None = None  # where the strategy solves it
        self.module = (job.network() if learned is None else learned.trainable()).to(job.device)
        self.plan = job.plan(self.module, self.budget)
        self.cut, rest = self._cut(() if learned is None else learned.tensors)
        self.net: TrainingNet = job.net(self.plan, self.budget, schedule=schedule, network=rest)

    def train(self, progress: EpochTasks | None = None) -> TrainingNet:
        """Solve the head where the strategy does so, and train; or do what a checkpoint has left to do."""
        job, keeper, saved = self.job, self.job.keeper, self.job.saved
        if keeper is not None and saved is not None and saved["is_finished"]:
            keeper.restore(self.net, saved)
            return self.net
        batches, valid = self._batches()
        if keeper is not None and saved is not None:
            keeper.restore(self.net, saved)
            self.net.resume(batches, valid, progress=progress)
        else:
            if job.strategy.solves_head and not self.goes_on:
                self.head = job.solved_head(resumes=self.cut is not None)
                set_head(self.module, self.head)
            self.net.fit(batches, valid, progress=progress)
        if keeper is not None:
            keeper.finish(self.net)
        return self.net

    @property
    def n_stages(self) -> int:
        """Return how many tasks come before the epochs: the pictures' codes, and the frozen layers' outputs."""
        solves = self.job.strategy.solves_head and not self.goes_on and not self.job.kind.is_rows
        return int(solves) + (0 if self.cut is None else 1 + (self.job.valid is not None))

    def learned(self) -> LearnedNetwork:
        """Return what the network has learned by now."""
        return LearnedNetwork.of(self.module, self.job.spec, self.job.adapter, cut=self.cut)

    def live(self) -> LearnedNetwork:
        """Return a view of the network during training."""
        return LearnedNetwork.live(self.module, self.job.spec)

    def _cut(self, touched: Mapping[str, Any] | tuple) -> tuple[str | None, RestNetwork | None]:
        """Return where the frozen part ends, and the rest, if running the frozen part once is possible and saves."""
        job, spec, e = self.job, self.job.spec, self.job.estimator
        freeze_until = job.strategy.freeze_until if e.freeze_until is None else e.freeze_until
        draws_anew = e.n_views is None and job.augment is not None
        if not isinstance(spec, PictureSpec) or freeze_until is None or job.strategy.is_random:
            return None, None
        if job.mixes or draws_anew or (job.store is None and self._n_rows_seen < len(job.train)):
            return None, None
        for cut in cuts_before(spec, freeze_until):
            if is_untouched(touched, spec, cut):
                return cut, RestNetwork(self.module, spec, cut)  # type: ignore[arg-type]
        return None, None

    @property
    def _n_rows_seen(self) -> int:
        return self.budget.n_steps * self.budget.batch_size

    @property
    def _n_views(self) -> int:
        """Views of each picture; not more than a training meets."""
        job = self.job
        if job.augment is None:
            return 1
        most, met = int(job.estimator.n_views), self._n_rows_seen // len(job.train)
        if job.store is not None:  # other fits may meet more of them
            return min(most, max(met, KEPT_VIEWS))
        return max(1, min(most, met))

    def _batches(self) -> tuple[Any, Any]:
        if self.cut is not None:
            try:
                return self._block_batches(self.cut)
            except OSError as error:
                warnings.warn(
                    f"The frozen layers' outputs fit neither in memory nor on the disk ({error}); the layers run anew "
                    "in every epoch.",
                    CacheWarning,
                    stacklevel=2,
                )
                self._run_all()
        return self.job.batches(self.budget), self.job.valid_batches(self.budget)

    def _block_batches(self, cut: str) -> tuple[Any, Any]:
        job, size = self.job, self.budget.batch_size
        if job.store is None and job.strategy.solves_head and job.augment is None and not self.goes_on:
            job.store = MemoryCache()  # for this fit: the head's codes go on from the blocks
        frozen = frozen_part(job, cut)
        with job.watched("frozen layers", len(job.train) * self._n_views) as watch:
            blocks: Blocks = frozen.blocks(job.train, job.device, self._n_views, job.augment, watch)
        train = blocks.batches(job.train, size, device=job.device, seed=int(job.seeds[1]), last="spread")
        if job.valid is None:
            return train, None
        with job.watched("frozen layers", len(job.valid)) as watch:
            blocks = frozen.blocks(job.valid, job.device, 1, None, watch)
        return train, blocks.batches(job.valid, max(size, VALID_BATCH), device=job.device, shuffle=False)

    def _run_all(self) -> None:
        self.cut, self.job.saved = None, None  # a checkpoint of the rest does not fit the whole
        self.net = self.job.net(self.plan, self.budget, schedule=self.net.schedule)


def frozen_part(job: Job, cut: str) -> FrozenPart:
    """Return the part of the network before a cut."""
    return FrozenPart(cut, block_extractor(extractor_of(job.estimator, job.spec, job.device, job.store), cut))  # type: ignore[arg-type]


@torch.no_grad()
def set_head(module: Any, head: LinearHead) -> None:
    """Write the solved head into the network."""
    module.head.weight.copy_(torch.from_numpy(head.weight))
    module.head.bias.copy_(torch.from_numpy(head.bias))
