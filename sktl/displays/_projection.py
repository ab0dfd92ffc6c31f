"""From codes to points on a plane."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl.displays._axes import needed

METHODS = ("pca", "tsne", "umap")
MOST_COMPONENTS = 50  # that t-SNE and UMAP are given
PERPLEXITY = 30.0
LARGEST = 1e100


def projected(codes: np.ndarray, method: str, random_state: Any) -> tuple[np.ndarray, tuple[str, str]]:
    """Return points (n, 2) and what the axes are called.

    Raises
    ------
    ValueError
        If the method has another name, or rows are too few.
    ImportError
        For "umap", if umap-learn is not installed.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}.")
    if len(codes) < 3:
        raise ValueError(f"An embedding needs at least 3 rows; got {len(codes)}.")
    largest = np.abs(codes).max()
    codes = codes / largest if largest > LARGEST else codes  # their squares would overflow
    most = min(MOST_COMPONENTS if method != "pca" else 2, *codes.shape)
    # the full solver draws no numbers, and few rows or columns are quick
    pca = PCA(most, svd_solver="full" if min(codes.shape) <= 500 else "randomized", random_state=random_state)
    with np.errstate(divide="ignore", invalid="ignore"):  # the shares of variance, where there is none
        points = pca.fit_transform(codes)
    if method != "pca" and not np.ptp(points, axis=0).any():  # t-SNE ends the process
        raise ValueError(f"All {len(codes)} rows are the same, and have no neighbourhoods. Take method='pca'.")
    if method == "pca":
        shares = np.nan_to_num(pca.explained_variance_ratio_)
        if points.shape[1] < 2:
            points, shares = np.column_stack([points, np.zeros(len(points))]), np.append(shares, 0.0)
        return points, tuple(f"component {i + 1} ({share:.0%})" for i, share in enumerate(shares))  # type: ignore[return-value]
    if method == "tsne":
        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca" if points.shape[1] > 1 else "random", random_state=random_state)
        return tsne.fit_transform(points), ("t-SNE 1", "t-SNE 2")
    umap = needed("umap", "An embedding by UMAP", "pip install umap-learn, or take method='tsne'")
    neighbours = min(15, len(points) - 1)
    return umap.UMAP(n_neighbors=neighbours, random_state=random_state).fit_transform(points), ("UMAP 1", "UMAP 2")
