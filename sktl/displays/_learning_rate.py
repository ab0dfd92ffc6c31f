"""Which learning rates a training bears."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sktl.displays._axes import COLOURS, as_text, drawn_on


@dataclasses.dataclass(eq=False)
class LearningRateDisplay:
    """Losses over learning rates (Smith 2017: the range test).

    ``find_learning_rate`` of the fine-tuned estimators returns it. Take the suggestion, or a rate a little below the
    one where the loss begins to rise.

    Parameters
    ----------
    learning_rates : ndarray of shape (n_steps,)
        Of the head, one a step.
    losses : ndarray of shape (n_steps,)
        Smoothed.
    suggestion : float
        Where the loss falls fastest, on a logarithmic scale.

    Attributes
    ----------
    ax_, figure_, line_ : matplotlib Axes, Figure and Line2D
        After `plot`.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical learning rates for training neural networks", WACV, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktl.finetuning import FineTunedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> display = FineTunedClassifier(random_state=0).find_learning_rate(X, y)
    >>> bool(display.suggestion > 0)
    True
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    suggestion: float

    def plot(self, ax: Any = None, *, name: str | None = None) -> LearningRateDisplay:
        """Draw the losses, with a mark at the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default.
        name : str, default=None
            For the legend.

        Returns
        -------
        LearningRateDisplay
            Itself, with `ax_`, `figure_` and `line_`.
        """
        ax = drawn_on(self, ax)
        n_before = len(ax.lines)  # of other displays on the same axes
        label = as_text(name) if name is not None else "training loss"
        colour = COLOURS[n_before // 2 % len(COLOURS)]
        (self.line_,) = ax.plot(self.learning_rates, self.losses, label=label, color=colour)
        ax.axvline(self.suggestion, color=colour, linestyle="--", label=f"suggestion {self.suggestion:.2g}")
        ax.set(xscale="log", xlabel="learning rate of the head", ylabel="training loss, smoothed")
        ax.legend()
        return self
