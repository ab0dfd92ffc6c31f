"""Random changes of training batches, drawn on the device: pictures augmented, examples mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sktl.images import PictureSource, augmented

FEW_TO_CROP = 200  # below it, crops move a solved head, which knows whole pictures, away from them
NATURAL_SIDE = 64  # below it a crop takes away what little there is, and a mirrored digit is another one

Change = Callable[[Any, torch.Generator], Any]


def augmentation_for(augment: Any, source: PictureSource, size: tuple[int, int], n_solved: int | None = None) -> Any:
    """Return what "auto" means: crops and flips for pictures that are, and are seen at, 64 pixels or more a side.

    `n_solved` is the number of pictures that a head was solved on; None where it was not.
    """
    if augment != "auto":
        return augment
    if source.kind == "rows" or min(size) < NATURAL_SIDE:
        return None
    if source.shape is not None and min(source.shape[1:3]) < NATURAL_SIDE:
        return None
    return "flip" if n_solved is not None and n_solved < FEW_TO_CROP else "crop_flip"


def picture_change(augment: Any, size: tuple[int, int]) -> Change:
    """Return what turns pictures as they are held, (n, height, width, 3) bytes, into what the network is given."""

    def change(batch: Any, generator: torch.Generator) -> Any:
        return (augmented(augment, batch[0].permute(0, 3, 1, 2), generator, size), *batch[1:])

    return change


def mixture(n_classes: int | None, mixup: float, cutmix: float) -> Change:
    """Return what mixes each row of a batch with another: X by values or by patches, y and weights in proportion.

    Parameters
    ----------
    n_classes : int or None
        Class numbers become probabilities of that many classes; None mixes y itself (regression).
    mixup, cutmix : float
        Both parameters of the beta distribution that the share is drawn from (Zhang et al. 2018, Yun et al. 2019);
        with both, each batch takes either at random.
    """

    def change(batch: Any, generator: torch.Generator) -> Any:
        X, y = batch[:2]
        n, device = len(X), X.device
        draws = torch.rand(4, generator=generator, device=device)
        cuts = cutmix > 0 and (mixup == 0 or bool(draws[0] < 0.5))
        share = _beta(cutmix if cuts else mixup, generator, device)
        other = torch.randperm(n, generator=generator, device=device)
        if cuts:
            X, share = _patched(X, X[other], share, draws[1:3])
        else:
            X = share * X.float() + (1 - share) * X[other].float()
        target = F.one_hot(y, n_classes).to(torch.float32) if n_classes is not None else y
        weight = batch[2] if len(batch) > 2 else torch.ones(n, device=device)
        # y = (s w_i y_i + (1 - s) w_j y_j) / w,   w = s w_i + (1 - s) w_j
        ours, theirs = share * weight, (1 - share) * weight[other]
        mixed = ours + theirs
        columns = (n,) + (1,) * (target.ndim - 1)
        target = (ours.reshape(columns) * target + theirs.reshape(columns) * target[other]) / mixed.reshape(columns)
        return (X, target, mixed)

    return change


def _beta(alpha: float, generator: torch.Generator, device: torch.device) -> Tensor:
    concentration = torch.full((2,), float(alpha), device=device)
    drawn = torch._standard_gamma(concentration, generator=generator)
    return drawn[0] / drawn.sum().clamp_min(1e-12)


def _patched(X: Tensor, other: Tensor, share: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Return pictures with a box of another in each, and the share of the area that stayed."""
    height, width = X.shape[-2:]
    side = (1 - share).sqrt() / 2
    rows, columns = torch.arange(height, device=X.device), torch.arange(width, device=X.device)
    in_rows = ((rows + 0.5) / height - centre[0]).abs() < side
    in_columns = ((columns + 0.5) / width - centre[1]).abs() < side
    box = in_rows[:, None] & in_columns[None, :]
    return torch.where(box, other, X), 1 - box.float().mean()


def chained(changes: list[Change]) -> Change | None:
    """Return the changes one after another."""
    if not changes:
        return None

    def change(batch: Any, generator: torch.Generator) -> Any:
        for one in changes:
            batch = one(batch, generator)
        return batch

    return change
