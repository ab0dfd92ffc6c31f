"""From which depth on a network's layers tell the classes apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import indexable

from sktl._array_api import n_rows, rows_on_host
from sktl._columns import class_labels
from sktl._extraction import as_size
from sktl.backbones import PENULTIMATE, layer_info, load_backbone
from sktl.displays._axes import COLOURS, as_text, check_drawable, drawn_on


@dataclasses.dataclass(eq=False)
class LayerAccuracyDisplay:
    """Accuracy of a classifier on the codes of each layer of a fixed network, by cross-validation.

    The nearer the pictures are to those that the network was trained on, the deeper its best layer. Where the curve
    falls before the end, take an earlier layer (``CNNCodesTransformer(layers=...)``), or fine-tune what is behind it.
    The folds' spread says whether two layers differ at all; the best of many is also lucky, so measure it anew on rows
    that were not looked at here.

    Parameters
    ----------
    names : sequence of str
        Of the layers.
    depths : ndarray of shape (n_layers,)
        Shares of the network's layers passed by then; 1.0 is the penultimate layer.
    scores : ndarray of shape (n_layers, n_folds)
        Of each fold.
    score_name : str, default="accuracy"
        What was scored.
    chance : float or None, default=None
        The accuracy of the most frequent class.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    line_ : Line2D
        Mean scores.
    best_mark_ : PathCollection
        The best layer.

    References
    ----------
    .. [1] J. Yosinski, J. Clune, Y. Bengio and H. Lipson, "How transferable are features in deep neural networks?",
       NeurIPS, 2014.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sktl import CNNCodesTransformer
    >>> from sktl.displays import LayerAccuracyDisplay
    >>> pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    >>> codes = CNNCodesTransformer(image_size=32)
    >>> display = LayerAccuracyDisplay.from_estimator(codes, pictures, [0, 1] * 4, cv=2)
    >>> display.names[-1], display.scores.shape[1]
    ('penultimate', 2)
    """

    names: Sequence[str]
    depths: np.ndarray
    scores: np.ndarray
    score_name: str = "accuracy"
    chance: float | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        layers: Any = "all",
        classifier: Any = None,
        cv: Any = 5,
        groups: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        ax: Any = None,
    ) -> LayerAccuracyDisplay:
        """Compute the codes of all layers in one pass, and cross-validate a classifier on those of each.

        Parameters
        ----------
        estimator : CNNCodesTransformer
            Which network and how; it is cloned, its `layers` are left aside.
        X : array-like or sequence of pictures, n rows
            As in its `fit`.
        y : array-like of shape (n,)
            Labels.
        layers : "all" or list of str, default="all"
            Names of `sktl.list_layers`. "all" is the last layer of each resolution, and the penultimate layer.
        classifier : estimator, default=None
            By default standardisation and logistic regression.
        cv : int, splitter or iterable, default=5
            The folds, the same for all layers.
        groups : array-like of shape (n,), default=None
            For splitters by group.
        scoring : str or callable, default=None
            By default accuracy.
        n_jobs : int, default=None
            Folds at once.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        LayerAccuracyDisplay

        Raises
        ------
        TypeError
            If the estimator has no `layers`.
        ValueError
            If there are no labels, or a layer's name is not known.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import check_cv, cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        check_drawable(cls.__name__, ax)
        if "layers" not in getattr(estimator, "get_params", dict)():
            raise TypeError(
                "LayerAccuracyDisplay needs a transformer with the parameter `layers`, such as CNNCodesTransformer(); "
                f"got {type(estimator).__name__}."
            )
        X = rows_on_host(X)
        labels = class_labels(y, n_rows(X), cls.__name__)
        if classifier is None:
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        whole = clone(estimator)
        is_all = isinstance(layers, str) and layers == "all"
        codes = whole.set_params(
            layers=["all", PENULTIMATE] if is_all else [layers] if isinstance(layers, str) else list(layers)
        ).fit_transform(X)
        _, labels, groups = indexable(codes, labels, groups)
        folds = list(check_cv(cv, labels, classifier=True).split(codes, labels, groups))
        scores = [
            cross_val_score(classifier, codes[:, columns], labels, cv=folds, scoring=scoring, n_jobs=n_jobs)
            for columns in whole.layer_slices_.values()
        ]
        name = "accuracy" if scoring is None else scoring if isinstance(scoring, str) else "score"
        chance = float(np.unique(labels, return_counts=True)[1].max() / len(labels)) if name == "accuracy" else None
        return cls.from_scores(whole.layers_, _depths(whole), scores, score_name=name, chance=chance, ax=ax)

    @classmethod
    def from_scores(
        cls,
        names: Sequence[str],
        depths: Any,
        scores: Any,
        *,
        score_name: str = "accuracy",
        chance: float | None = None,
        ax: Any = None,
    ) -> LayerAccuracyDisplay:
        """Draw scores that are there already.

        Parameters
        ----------
        names, depths, scores, score_name, chance
            As the class takes them; in any order of depth. Scores may be NaN where a fold failed.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        LayerAccuracyDisplay
        """
        depths, scores = np.asarray(depths, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        if scores.ndim != 2 or not len(names) == len(depths) == len(scores) > 0:
            raise ValueError(
                "names, depths and scores must have one entry a layer, scores of shape (n_layers, n_folds); got "
                f"{len(names)} names, {len(depths)} depths and scores of shape {scores.shape}."
            )
        if not np.isfinite(scores).any(axis=1).all():
            bad = names[int(np.flatnonzero(~np.isfinite(scores).any(axis=1))[0])]
            raise ValueError(f"Each layer needs a finite score in at least one fold; {bad!r} has none.")
        order = np.argsort(depths, kind="stable")
        return cls([str(names[i]) for i in order], depths[order], scores[order], score_name, chance).plot(ax)

    @property
    def mean_scores(self) -> np.ndarray:
        """Each layer's mean over the folds that have a score, (n_layers,)."""
        return np.nanmean(self.scores, axis=1)

    @property
    def best_layer(self) -> str:
        """The layer of the highest mean score; the deepest of several."""
        means = self.mean_scores
        return self.names[len(means) - 1 - int(means[::-1].argmax())]

    def plot(self, ax: Any = None) -> LayerAccuracyDisplay:
        """Draw mean scores over depth, with one standard deviation over the folds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        LayerAccuracyDisplay
            Itself, with `ax_`, `figure_`, `line_` and `best_mark_`.
        """
        ax = drawn_on(self, ax, (max(6.4, 0.3 * len(self.names)), 4.4))
        # one place a layer, for several may be equally deep
        places, means, spread = np.arange(len(self.names)), self.mean_scores, np.nanstd(self.scores, axis=1)
        bars = ax.errorbar(
            places, means, spread, marker="o", capsize=3, color=COLOURS[0], label="mean ± standard deviation"
        )
        self.line_ = bars.lines[0]
        best = self.names.index(self.best_layer)
        label = f"best: {as_text(self.best_layer)} ({means[best]:.3g})"
        self.best_mark_ = ax.scatter(
            [places[best]], [means[best]], s=180, marker="*", color=COLOURS[1], zorder=3, label=label
        )
        if self.chance is not None:
            ax.axhline(self.chance, color=COLOURS[6], linestyle=":", linewidth=1, label="most frequent class")
        labels = [f"{as_text(name)} ({depth:.2f})" for name, depth in zip(self.names, self.depths)]
        ax.set_xticks(places, labels, rotation=30, ha="right")
        ax.set(xlabel="layer (depth)", ylabel=as_text(self.score_name))
        ax.legend()
        return self


def _depths(codes: Any) -> list[float]:
    """Return the depths of the layers of a fitted transformer."""
    backbone = load_backbone(codes.backbone, codes.weights, seed=codes.random_state)
    preprocessing = backbone.preprocessing.resized_to(as_size(codes.image_size)).overridden_by(codes.preprocessing)
    trace = backbone.trace(preprocessing.size)
    return [1.0 if layer == PENULTIMATE else layer_info(layer, trace).depth for layer in codes.layers_]
