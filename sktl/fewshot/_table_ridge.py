"""Ridge regression of a handful of feature rows: its penalty is chosen by leaving rows out."""

from __future__ import annotations

import numpy as np

from sktl._ridge import chosen_ridge
from sktl.fewshot.heads import RidgeHead

PENALTIES = np.logspace(-2, 1, 7)  # in units of the rows' mean squared length


def table_ridge(rows: np.ndarray, targets: np.ndarray) -> RidgeHead:
    """Return ridge regression with the penalty that errs least in rows left out; every output counts alike.

    Parameters
    ----------
    rows : array of shape (n, n_columns)
    targets : array of shape (n, n_outputs)
    """
    centred, spread = rows - rows.mean(0), targets.std(0)
    length = np.sqrt((centred**2).sum() / len(rows))
    if length == 0:
        return RidgeHead()
    scaled = (targets - targets.mean(0)) / np.where(spread > 0, spread, 1.0)
    penalty, _ = chosen_ridge(centred / length, scaled, None, PENALTIES / len(rows))
    return RidgeHead(float(np.clip(penalty, PENALTIES[0], PENALTIES[-1])))
