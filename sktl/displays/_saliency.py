"""Where in a picture a network finds what it predicts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._deployment import Exportable
from sktl._modes import plain_modes
from sktl._preprocessing import Preprocessing
from sktl._unlabelled import as_labels
from sktl._validation import did_you_mean
from sktl.displays._axes import as_text, check_count, check_drawable, drawn_on, needed, panels
from sktl.displays._fitted import parts_of
from sktl.displays._pictures import framed, kind_of
from sktl.displays._rollout import rolled_out, tokens_of
from sktl.displays._rows import UNKNOWN, classes_of
from sktl.images import as_pictures

LONGEST = 20  # characters of a name above a picture
REMEDY = "pip install sktl[explain]"


@dataclasses.dataclass(eq=False)
class SaliencyDisplay:
    """Which parts of pictures speak for a class: Grad-CAM over the network's last maps, or attention rolled out.

    A network that is right for the wrong reason looks at a label, a ruler or the background. The maps of Grad-CAM are
    coarse, a few cells a side, and show what raises the class's logit, not what lowers it. It needs captum
    (``pip install sktl[explain]``).

    A transformer has no maps. Of it is shown from which patches what is classified was gathered: the attention of all
    blocks, rolled out. This hardly depends on the class.

    Parameters
    ----------
    pictures : ndarray of shape (n, height, width, 3), uint8
        As the network sees them: scaled and cropped.
    heat : ndarray of shape (n, height, width)
        From 0 to 1, the largest of each picture; all 0 where nothing speaks for the class.
    labels : list
        The class that is explained of each picture; None for a regression.
    probabilities : ndarray of shape (n,) or None
        Of these classes.
    layer : str
        Whose maps they are, or whose tokens.
    method : {"grad-cam", "roll-out"}
        How they were found.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : ndarray of Axes
        One a picture.

    References
    ----------
    .. [1] R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
       ICCV, 2017.
    .. [2] S. Abnar and W. Zuidema, "Quantifying attention flow in transformers", ACL, 2020.
    .. [3] J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS, 2018.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sktl.displays import SaliencyDisplay
    >>> from sktl.finetuning import FineTunedClassifier
    >>> pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> model = FineTunedClassifier(strategy="head", image_size=64).fit(pictures, [0, 1, 0, 1])
    >>> display = SaliencyDisplay.from_estimator(model, pictures)  # doctest: +SKIP
    """

    pictures: np.ndarray
    heat: np.ndarray
    labels: list
    probabilities: np.ndarray | None
    layer: str
    method: str = "grad-cam"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        target: Any = None,
        *,
        layer: str | None = None,
        n_pictures: int = 8,
        ax: Any = None,
    ) -> SaliencyDisplay:
        """Explain predictions for the first pictures of X.

        Parameters
        ----------
        estimator : fitted estimator
            One with a network of pictures: `FineTunedClassifier`, `FineTunedRegressor`, `DomainAdaptedClassifier`,
            `ProtoNetClassifier`, or an estimator around one.
        X : array-like or sequence of pictures, n rows
            As in its `fit`.
        target : label or array-like of shape (n,), default=None
            The class to explain, one for all or one a picture; by default the predicted one.
        layer : str, default=None
            Name of a layer with maps, as in `sktl.list_layers`; by default the last whose maps have more than one cell,
            and for a transformer its attention.
        n_pictures : int, default=8
            At most.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        SaliencyDisplay

        Raises
        ------
        ImportError
            If captum is not installed: what installs it.
        TypeError, ValueError
            If the estimator has no network of pictures, the layer no maps, or a target is no class.
        """
        check_drawable(cls.__name__, ax)
        check_count(n_pictures, "n_pictures")
        part, module, preprocessing = _deployed(estimator)
        kind = kind_of(part)
        X = rows_on_host(X)
        image_shape, value_range = (None, None) if kind is None else (kind.image_shape, kind.value_range)
        source = as_pictures(X, image_shape=image_shape, value_range=value_range)
        rows = np.arange(min(n_pictures, n_rows(X)))
        batch = source.batch(rows, preprocessing)
        with plain_modes():
            pictures = batch.float()
            with torch.no_grad():
                outputs = module(pictures)
            classes = getattr(part, "classes_", None)
            wanted = _targets(target, outputs, classes, n_rows(X), len(rows))
            tokens = tokens_of(module, (batch.shape[2], batch.shape[3])) if layer is None else None
            found = None if tokens is None else rolled_out(module, pictures, tokens, wanted)
            if tokens is not None and found is not None:
                name, method, maps = tokens.name, "roll-out", found.unsqueeze(1)
            else:
                name, maps = _grad_cam(module, pictures, layer, wanted)
                method = "grad-cam"
            maps = nn.functional.interpolate(maps.detach(), batch.shape[2:], mode="bilinear", align_corners=False)
        heat = maps[:, 0].double().numpy()
        highest = heat.max(axis=(1, 2), keepdims=True)
        heat = np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)
        labels: list = [None] * len(rows)
        shares = None
        if wanted is not None:
            labels = as_labels(classes)[wanted.numpy()].tolist()
            shares = outputs.double().softmax(1)[torch.arange(len(rows)), wanted].numpy()
        return cls(batch.permute(0, 2, 3, 1).numpy().copy(), heat, labels, shares, name, method).plot(ax)

    def plot(self, ax: Any = None, *, cmap: str = "inferno", alpha: float = 0.6) -> SaliencyDisplay:
        """Draw the pictures, bright where the network finds the class.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.
        cmap : str, default="inferno"
            Colours of the heat.
        alpha : float, default=0.6
            How much of the heat covers the picture where it is highest.

        Returns
        -------
        SaliencyDisplay
            Itself, with `ax_`, `figure_` and `axes_`.
        """
        n = len(self.pictures)
        n_columns = math.ceil(math.sqrt(n))
        n_lines = math.ceil(n / n_columns)
        ax = drawn_on(self, ax, (2.1 * n_columns, 2.3 * n_lines))
        grid = panels(ax, n_lines, n_columns).ravel()
        for panel in grid[n:]:
            panel.set_axis_off()
        self.axes_ = grid[:n]
        for i, panel in enumerate(self.axes_):
            framed(panel, self.pictures[i])
            framed(panel, self.heat[i], cmap=cmap, vmin=0, vmax=1, alpha=alpha * self.heat[i])
            if self.labels[i] is not None and self.probabilities is not None:
                panel.set_title(f"{as_text(self.labels[i], LONGEST)} {self.probabilities[i]:.0%}", fontsize="small")
        return self


def _grad_cam(
    module: nn.Module, pictures: torch.Tensor, layer: str | None, wanted: torch.Tensor | None
) -> tuple[str, torch.Tensor]:
    """Return the layer explained and its maps (n, 1, height, width)."""
    attr = needed("captum.attr", SaliencyDisplay.__name__, REMEDY)
    name, place = _layer_of(module, pictures[:1], layer)
    # L = relu(sum_k a_k A^k), a_k = mean over cells of d y_c / d A^k
    explained = attr.LayerGradCam(module, place)
    return name, explained.attribute(pictures.requires_grad_(True), target=wanted, relu_attributions=True)


def _deployed(estimator: Any) -> tuple[Any, nn.Module, Preprocessing]:
    """Return the part of an estimator that has a network of pictures, the network, and what is done before it."""
    check_is_fitted(estimator)
    part = next((part for part in parts_of(estimator) if isinstance(part, Exportable)), None)
    if part is None:
        raise TypeError(
            "SaliencyDisplay needs an estimator whose predictions are one network's, such as FineTunedClassifier; got "
            f"{type(estimator).__name__}. Of codes with a linear classifier, FineTunedClassifier(strategy='head') is "
            "the same as one network."
        )
    module, preprocessing = part._deployed()
    if not isinstance(preprocessing, Preprocessing):
        raise ValueError(f"SaliencyDisplay shows pictures, but this {type(part).__name__} was fitted on feature rows.")
    return part, module.eval(), preprocessing


def _layer_of(module: nn.Module, picture: torch.Tensor, layer: str | None) -> tuple[str, nn.Module]:
    """Return the layer that is asked for, or the last one with maps of more than one cell."""
    shapes: dict[str, tuple[int, ...]] = {}

    def hook_of(name: str) -> Any:
        def hook(part: nn.Module, inputs: Any, output: Any) -> None:
            shapes.pop(name, None)
            shapes[name] = tuple(output.shape) if isinstance(output, torch.Tensor) else ()

        return hook

    handles = [part.register_forward_hook(hook_of(name)) for name, part in module.named_modules() if name]
    try:
        with torch.no_grad():
            module(picture)
    finally:
        for handle in handles:
            handle.remove()
    with_maps = [name for name, shape in shapes.items() if len(shape) == 4 and shape[2] * shape[3] > 1]
    if layer is None and with_maps:
        leaves = [name for name in with_maps if not any(module.get_submodule(name).children())]
        name = (leaves or with_maps)[-1]
        return name, module.get_submodule(name)
    found = [name for name in with_maps if layer is not None and f".{name}".endswith(f".{layer}")]
    if not found:
        asked = "the network has none" if layer is None else f"layer={layer!r} is none of them"
        hint = "" if layer is None else did_you_mean(layer, with_maps)
        raise ValueError(
            f"Grad-CAM needs a layer whose output are maps of more than one cell; {asked}.{hint} Larger pictures "
            "(image_size) have larger maps."
        )
    return found[0], module.get_submodule(found[0])


def _targets(target: Any, outputs: torch.Tensor, classes: Any, n: int, n_shown: int) -> torch.Tensor | None:
    """Return the number of the class of each picture; None where outputs are estimates."""
    if outputs.ndim == 1 or classes is None:
        if target is not None:
            raise ValueError("A regression has no classes: leave target=None.")
        return None if outputs.ndim == 1 else torch.zeros(n_shown, dtype=torch.long)
    if target is None:
        return outputs.argmax(dim=1)
    labels = [target] * n if np.ndim(target) == 0 else target
    found, of_row = classes_of(labels, n, unlabelled=None, name="target")
    known = {label: i for i, label in enumerate(as_labels(classes).tolist())}
    names = found.tolist()
    asked = [None if number == UNKNOWN else names[number] for number in of_row[:n_shown].tolist()]
    absent = [label for label in asked if label not in known]
    if absent:
        raise ValueError(f"target {absent[0]!r} is none of the classes: {', '.join(map(repr, known))}.")
    return torch.tensor([known[label] for label in asked])
