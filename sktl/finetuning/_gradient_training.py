"""One training by gradients, from data that were read to a network that has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sktl._warn_once import warn_user
from sktl.cache import MemoryCache
from sktl.exceptions import CacheWarning
from sktl.finetuning._averaging import chosen_share, head_and_share, kept_head, put_between, share_of, values_of
from sktl.finetuning._budget import Budget, is_within_noise
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._frozen import Blocks, FrozenPart, RestNetwork, block_extractor, cuts_before, is_untouched
from sktl.finetuning._heads import LinearHead
from sktl.finetuning._networks import PictureSpec
from sktl.finetuning._training import VALID_BATCH, FineTuning, extractor_of
from sktl.training import EpochTasks, TrainingNet

KEPT_VIEWS = 16  # of each picture, at most, unless training meets more


class Run:
    """The network of a fit, what of it is trained, and on what.

    Parameters
    ----------
    training : FineTuning
        The data and the decisions.
    learned : FittedNetwork or None
        What an earlier fit has learned, to go on from.
    schedule : str, callable or None
        Of the rates.
    """

    def __init__(self, training: FineTuning, learned: FittedNetwork | None, *, schedule: Any):
        self.training = training
        self.budget: Budget = training.budget()
        self.goes_on = learned is not None
        self.head: LinearHead | None = None  # where the strategy solves it
        self.share: float | None = None  # of the way from there to where training ends; None where nothing is averaged
        self.module = (training.network() if learned is None else learned.trainable()).to(training.device)
        self.plan = training.plan(self.module, self.budget)
        self.cut, self.rest = self._cut(() if learned is None else learned.tensors)
        self.net: TrainingNet = self._net(schedule, self.rest)

    def train(self, progress: EpochTasks | None = None) -> TrainingNet:
        """Solve the head where the strategy does so, and train; or do what a checkpoint has left to do."""
        training, keeper, saved = self.training, self.training.keeper, self.training.saved
        if keeper is not None and saved is not None:
            self.head, self.share = head_and_share(saved, self.module.head)  # type: ignore
            self._shorten()
            if saved["is_finished"]:
                keeper.restore(self.net, saved)
                return self.net
        batches, valid = self._batches()
        saved = training.saved  # which is none where the layers run anew
        starts_solved = training.strategy.solves_head and not self.goes_on
        if starts_solved:
            if self.head is None:
                self.head = training.solved_head(resumes=self.cut is not None)
                self._shorten()
            set_head(self.module, self.head)
        start = self._values() if starts_solved else None
        if keeper is not None:
            keeper.extra |= {"head": None if self.head is None else kept_head(self.head), "share": None}
        if keeper is not None and saved is not None:
            keeper.restore(self.net, saved)
            self.net.resume(batches, valid, progress=progress)
        else:
            self.net.fit(batches, valid, progress=progress)
        if start is not None:
            self._average(start, valid)
        if keeper is not None:
            keeper.extra["share"] = self.share
            keeper.finish(self.net)
        return self.net

    def _values(self) -> dict[str, torch.Tensor]:
        processes = self.net.processes
        if processes is not None:
            processes.align(self.net.module)
        return values_of(self.net.module)

    def _shorten(self) -> None:
        """Train less where the user leaves the length open, and the head leaves no more than noise to gain."""
        training, asked, head = self.training, self.training.settings, self.head
        is_open = asked.max_epochs == "auto" and asked.max_steps is None and training.valid is None
        if head is None or not is_open or training.kind.is_rows or not training.freezes_bn(self.budget):
            return  # batch norm would not learn new statistics in so few steps
        if is_within_noise(head.error, head.n_distinct):
            self.budget = self.budget.shortened()
            self.net = self._net(self.net.schedule, self.rest)

    def _average(self, start: dict[str, torch.Tensor], valid: Any) -> None:
        """Go back a part of the way from the start."""
        asked = self.training.settings.tuned_share
        is_auto = asked == "auto"
        if is_auto and self.training.stops_early:
            self.share = chosen_share(self.net, start, valid)
        else:
            assert self.head is not None
            few = share_of(self.head.n_distinct, is_rows=self.training.kind.is_rows)
            self.share = few if is_auto else float(asked)
        put_between(self.net.module, start, values_of(self.net.module), self.share)

    @property
    def n_stages(self) -> int:
        """Return how many tasks come before the epochs: the pictures' codes, and the frozen layers' outputs."""
        solves = self.training.strategy.solves_head and not self.goes_on and not self.training.kind.is_rows
        return int(solves) + (0 if self.cut is None else 1 + (self.training.valid is not None))

    def learned(self) -> FittedNetwork:
        """Return what the network has learned by now."""
        return FittedNetwork.of(self.module, self.training.spec, self.training.settings.adapter, cut=self.cut)

    def live(self) -> FittedNetwork:
        """Return a view of the network during training."""
        return FittedNetwork.live(self.module, self.training.spec)

    def _cut(self, touched: Mapping[str, Any] | tuple) -> tuple[str | None, RestNetwork | None]:
        """Return where the frozen part ends, and the rest, if running the frozen part once is possible and saves."""
        training, spec, e = self.training, self.training.spec, self.training.settings
        freeze_until = e.first_trained
        draws_anew = e.n_views is None and training.augment is not None
        if not isinstance(spec, PictureSpec) or freeze_until is None or training.strategy.is_random:
            return None, None
        if e.mixes or draws_anew or (training.store is None and self._n_rows_seen < len(training.train)):
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
        training = self.training
        if training.augment is None:
            return 1
        most, met = int(training.settings.n_views), self._n_rows_seen // len(training.train)  # type: ignore[arg-type]
        if training.store is not None:  # other fits may meet more of them
            return min(most, max(met, KEPT_VIEWS))
        return max(1, min(most, met))

    def _batches(self) -> tuple[Any, Any]:
        if self.cut is not None:
            try:
                return self._block_batches(self.cut)
            except OSError as error:
                warn_user(
                    f"The frozen layers' outputs fit neither in memory nor on the disk ({error}); the layers run anew "
                    "in every epoch.",
                    CacheWarning,
                )
                self._run_all()
        return self.training.batches(self.budget), self.training.valid_batches(self.budget)

    def _block_batches(self, cut: str) -> tuple[Any, Any]:
        training, size = self.training, self.budget.batch_size
        if training.store is None and training.strategy.solves_head and training.augment is None and not self.goes_on:
            training.store = MemoryCache()  # for this fit: the head's codes go on from the blocks
        frozen = frozen_part(training, cut)
        with training.watched("frozen layers", len(training.train) * self._n_views) as watch:
            blocks: Blocks = frozen.blocks(training.train, training.device, self._n_views, training.augment, watch)
        train = blocks.batches(training.train, size, device=training.device, seed=int(training.seeds[1]), last="spread")
        if training.valid is None:
            return train, None
        with training.watched("frozen layers", len(training.valid)) as watch:
            blocks = frozen.blocks(training.valid, training.device, 1, None, watch)
        return train, blocks.batches(training.valid, max(size, VALID_BATCH), device=training.device, shuffle=False)

    def _net(self, schedule: Any, rest: RestNetwork | None = None) -> TrainingNet:
        resizing = self.training.resizing(self.module, self.budget) if rest is None else None
        return self.training.net(self.plan, self.budget, schedule=schedule, network=rest, resizing=resizing)

    def _run_all(self) -> None:
        self.cut, self.rest, self.training.saved = None, None, None  # a checkpoint of the rest does not fit the whole
        self.net = self._net(self.net.schedule)


def frozen_part(training: FineTuning, cut: str) -> FrozenPart:
    """Return the part of the network before a cut."""
    spec: Any = training.spec  # of pictures: rows have no frozen part
    extractor = extractor_of(training.settings, spec, training.device, training.store)
    return FrozenPart(cut, block_extractor(extractor, cut))


@torch.no_grad()
def set_head(module: Any, head: LinearHead) -> None:
    """Write the solved head into the network."""
    module.head.weight.copy_(torch.from_numpy(head.weight))
    module.head.bias.copy_(torch.from_numpy(head.bias))
