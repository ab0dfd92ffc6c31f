"""Shares of classes by expectation and maximisation, on calibrated probabilities."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.utils._param_validation import Interval

from sktl._mixture import shares
from sktl.reweighting._label_shift import LabelShift

LEAST = 1e-12  # of a probability, before its logarithm
FLATTEST, SHARPEST, LARGEST_BIAS = 0.02, 50.0, 20.0


class SaerensEM(LabelShift):
    """The classes' shares under which the target's rows are likeliest, found by expectation and maximisation [1]_.

    It uses more than the predicted labels, and is the most accurate of the three where probabilities are calibrated.
    So they are calibrated first, by a temperature and a bias for each class, on the source rows that the classifier has
    not seen [2]_.

    Parameters
    ----------
    calibrate : bool, default=True
        Whether probabilities are calibrated first; False is the first paper's method.
    tol : float, default=1e-6
        How far the mean log-likelihood may be from the largest one.

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
       probabilities: a simple procedure", Neural Computation, 2002.
    .. [2] A. Alexandari, A. Kundaje and A. Shrikumar, "Maximum likelihood with bias-corrected calibration is
       hard-to-beat at label shift adaptation", ICML, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.reweighting import SaerensEM
    >>> y = np.repeat([0, 1], 500)
    >>> proba = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    >>> proba[::10] = 1 - proba[::10]  # right in nine of ten, as it says
    >>> SaerensEM().estimate(y, proba, proba[250:]).round(2)  # a third of class 0, in place of a half
    array([0.67, 1.33])
    """

    needs_probabilities: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        "calibrate": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, *, calibrate: bool = True, tol: float = 1e-6):
        self.calibrate = calibrate
        self.tol = tol

    def _estimate(
        self, y: np.ndarray, prior: np.ndarray, proba_source: np.ndarray, proba_target: np.ndarray
    ) -> np.ndarray:
        logs = np.log(proba_target.clip(LEAST))
        if self.calibrate:
            sharpness, bias = calibration(y, np.log(proba_source.clip(LEAST)))
            logs = log_softmax(sharpness * logs + bias, axis=1)
        # max_q sum_x log sum_k q_k p_s(k | x) / p_s(k)
        return shares(np.exp(logs) / prior, self.tol) / prior


def calibration(y: np.ndarray, logs: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the a and b, (n_classes,), for which softmax(a log p + b) is likeliest to give the labels."""
    n, k = logs.shape
    onehot = np.eye(k)[y]

    def loss(params: np.ndarray) -> tuple[float, np.ndarray]:
        found = log_softmax(params[0] * logs + params[1:], axis=1)
        slope = (np.exp(found) - onehot) / n
        return -float(found[np.arange(n), y].mean()), np.concatenate([[np.sum(slope * logs)], slope.sum(axis=0)])

    bounds = [(FLATTEST, SHARPEST)] + [(-LARGEST_BIAS, LARGEST_BIAS)] * k
    found = minimize(loss, np.concatenate([[1.0], np.zeros(k)]), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(found.x[0]), found.x[1:]
