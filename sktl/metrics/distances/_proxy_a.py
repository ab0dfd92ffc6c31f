"""How well a classifier tells two domains apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl.density_ratios import held_out_log_ratios


def proxy_a_distance(
    source: Any, target: Any, *, C: float | str = "auto", n_folds: int = 5, random_state: int = 0
) -> float:
    """Return the proxy A-distance, 2 (1 - 2 error) of a classifier that tells the domains apart [1]_ [2]_.

    The error is the mean of both domains' errors, on rows that the classifier has not seen. The classifier is that of
    `sktl.metrics.density_ratio`: a logistic regression on standardised codes. This is the distance to start with.

    Parameters
    ----------
    source, target : array or sparse matrix of shape (n_rows, n_codes)
        Codes of the two domains.
    C : float or "auto", default="auto"
        Inverse strength of the regularisation; "auto" takes what tells held-out rows apart best, by their likelihood.
    n_folds : int, default=5
        Folds, fewer if a domain has fewer rows.
    random_state : int, default=0
        Fixes the folds.

    Returns
    -------
    float
        Near 0 for domains alike, below it by chance, and 2 for domains that are told apart without error.

    Raises
    ------
    ValueError
        If a domain has fewer than two rows, or their columns differ.

    References
    ----------
    .. [1] S. Ben-David, J. Blitzer, K. Crammer and F. Pereira, "Analysis of representations for domain adaptation",
       NeurIPS, 2006.
    .. [2] Y. Ganin et al., "Domain-adversarial training of neural networks", JMLR 17, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.distances import proxy_a_distance
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(100, 2)), rng.normal(loc=9.0, size=(100, 2))
    >>> proxy_a_distance(source, target)
    2.0
    """
    log_ratios, is_target = held_out_log_ratios(source, target, C=C, n_folds=n_folds, random_state=random_state)
    # a ratio above 1 says target, below it source, and 1 says either
    right = np.where(log_ratios == 0, 0.5, (log_ratios > 0) == is_target)
    error = 1 - (right[is_target].mean() + right[~is_target].mean()) / 2
    return float(2 * (1 - 2 * error))
