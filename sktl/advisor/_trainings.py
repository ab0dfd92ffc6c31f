"""What a search tries of networks that are trained further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sktl.advisor._candidates import TRAINED, USUAL_SIZE, Candidate, CandidateFamily, View
from sktl.advisor._codes import EMBEDDED
from sktl.advisor._material import MOST_CLASSES_SOLVED, Material
from sktl.advisor._problem import TEXT
from sktl.backbones import installed_networks
from sktl.features import CNNCodesTransformer
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor

FEWEST_TRAINED = 5  # rows a class, the median, below which no network is trained
SMALL_SIDE = 80  # pictures of so many pixels are trained on at a smaller size than the network's own
LESS, LEAST = 128, 64  # pixels
GROWING = 0.5  # share of the side at which training of larger pictures starts: nearly twice as fast, and as accurate
# Forward once, backward twice, in larger batches than one pass has; growing pictures have some six tenths of the
# pixels. A frozen part runs once for each of four views, the rest in every epoch.
WHOLE, GROWN, LAST = (2.0, 2.0), (2.0, 1.2), (5.0, 0.6)


class FineTuningCandidates(CandidateFamily):
    """Networks that are trained further: last block, head first and then all layers, all layers, low-rank changes.

    The advisor's similarity says which comes first: all layers at once where rows are unlike what the network was
    trained on, the head first elsewhere. Pictures of up to 80 pixels a side are seen at 128, or at 64 where
    time is short; larger ones start small and grow. With few rows a class nothing is trained. For feature rows it is a
    network from scratch.

    Parameters
    ----------
    strategies : list of str, default=("lp-ft", "full", "last", "lora")
        Of `FineTunedClassifier`, and "lora". Start with the default.

    Examples
    --------
    >>> from sktl.advisor import AutoTransferClassifier, FineTuningCandidates
    >>> search = AutoTransferClassifier(["codes", FineTuningCandidates(strategies=["last"])], time_budget=60)
    """

    _parameter_constraints: ClassVar[dict] = {"strategies": [list, tuple]}

    def __init__(self, strategies: Sequence[str] = ("lp-ft", "full", "last", "lora")):
        self.strategies = strategies

    def _candidates(self, owner: Any, material: Material) -> list[Candidate]:
        self._validate_params()
        known = {"lp-ft", "last", "full", "lora", "gradual", "scratch"}
        odd = [name for name in self.strategies if name not in known]
        if odd:
            raise ValueError(f"strategies must be of {', '.join(map(repr, sorted(known)))}; got {odd[0]!r}.")
        is_few = material.decision is not None and np.median(material.problem.sizes) < FEWEST_TRAINED
        if material.problem.kind == TEXT or is_few:
            return []
        if len(material.problem.classes) > MOST_CLASSES_SOLVED:
            return []
        kind = FineTunedClassifier if len(material.problem.classes) else FineTunedRegressor
        if not material.problem.is_pictures:
            network = kind(strategy="scratch", random_state=owner.random_state)
            return [Candidate("network from scratch", "scratch", TRAINED, network)]
        return [_trained(owner, material, kind, name) for name in self._order(owner, material)]

    def _order(self, owner: Any, material: Material) -> list[str]:
        alike = None if material.decision is None else material.decision.similarity
        is_unlike = alike is not None and alike.value < owner.similar_from
        return sorted(self.strategies, key=lambda name: name != ("full" if is_unlike else "lp-ft"))


def _trained(owner: Any, material: Material, kind: type, name: str) -> Candidate:
    options = {key: getattr(owner, key) for key in ("image_shape", "value_range", "image_size", "n_jobs", "cache")}
    options = {key: value for key, value in options.items() if value is not None}
    if owner.device != "auto":
        options["device"] = owner.device
    item = material.layers[0].item if material.layers else EMBEDDED
    backbone = item.backbone if isinstance(item, CNNCodesTransformer) else item
    if backbone != EMBEDDED:
        options["backbone"] = backbone
    how = {"adapter": "lora"} if name == "lora" else {"strategy": name}
    model = kind(**how, **options, random_state=owner.random_state)
    return Candidate(name, f"fine-tune, {name}", TRAINED, model, views=_views(material, name, backbone, options))


def _views(material: Material, name: str, backbone: Any, options: dict[str, Any]) -> tuple[View, ...]:
    """Return sizes of the pictures, the best first; a size that is given is the only one."""
    usual = LAST if name == "last" else WHOLE
    if "image_size" in options:
        return (View(usual, round(float(np.mean(options["image_size"])))),)
    smaller = [View(usual, side, {"image_size": side}, f" at {side} pixels") for side in (LESS, LEAST)]
    if material.side is not None and material.side <= SMALL_SIDE:
        return tuple(smaller)
    if not (isinstance(backbone, str) and backbone in installed_networks()):  # those take pictures of any size
        return (View(usual),)
    if name == "last":
        return View(usual), smaller[0]
    return View(GROWN, USUAL_SIZE, {"progressive_resizing": GROWING}), smaller[0]
