"""What an estimator makes of rows: the space in which displays compare them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.pipeline import Pipeline

from sktl._array_api import on_host
from sktl._device import resolve_device
from sktl._inputs import as_rows, in_channels
from sktl._modes import plain_modes
from sktl.images import PictureSource, iter_batches

BATCH = 64  # rows


def codes_of(estimator: Any, X: Any, display: str, *, sample_domain: Any = None) -> np.ndarray:
    """Return what the estimator makes of X, float64 (n, n_codes).

    That is its ``features``, what enters its classifier; else its ``transform``; in a pipeline those of the last step,
    behind the others' transforms. Estimators with neither see numeric rows of X as they are.

    Raises
    ------
    TypeError
        If there are no codes, and X is not a table of numbers.
    ValueError
        If codes are not finite.
    """
    inner = getattr(estimator, "best_estimator_", None)  # of a search
    if inner is not None:
        return codes_of(inner, X, display, sample_domain=sample_domain)
    if isinstance(estimator, Pipeline):
        before = estimator[:-1]
        X = before.transform(X) if len(before) else X
        return codes_of(estimator[-1], X, display, sample_domain=sample_domain)
    for name in ("features", "transform"):
        method = getattr(estimator, name, None)
        if callable(method):
            takes_domains = sample_domain is not None and "sample_domain" in inspect.signature(method).parameters
            return dense(method(X, sample_domain=sample_domain) if takes_domains else method(X), display)
    if hasattr(estimator, "_open"):
        return dense(_enters_classifier(estimator, X), display)
    if hasattr(estimator, "estimator_"):
        return codes_of(estimator.estimator_, X, display, sample_domain=sample_domain)
    rows = X if sparse.issparse(X) else np.asarray(on_host(X))
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise TypeError(
            f"{display} compares rows by an estimator's codes, but {type(estimator).__name__} has neither features() "
            "nor transform(), and X is not a table of numbers. Put CNNCodesTransformer before it in a pipeline."
        )
    return dense(rows, display)


def dense(codes: Any, display: str) -> np.ndarray:
    """Return codes of any container as float64 (n, n_codes)."""
    codes = on_host(codes)
    codes = codes.toarray() if sparse.issparse(codes) else np.asarray(codes)
    if codes.dtype.kind not in "biuf" or codes.ndim < 2 or len(codes) == 0:
        raise TypeError(f"{display} needs codes as numbers of shape (n, n_codes); got {codes.dtype} {codes.shape}.")
    codes = codes.reshape(len(codes), -1).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(codes).all(axis=1))
    if len(bad):
        raise ValueError(f"{display} was given codes that are NaN or infinite, in {len(bad)} rows, first {bad[0]}.")
    return codes


def _enters_classifier(estimator: Any, X: Any) -> np.ndarray:
    """Return what the head of a fine-tuned network is given."""
    data, network = estimator._read(X), estimator._open()
    device = resolve_device(estimator.device)
    module = network.module.to(device).eval()
    with plain_modes(), torch.inference_mode():
        parts = [network.features(batch.to(device)).flatten(1) for batch in _batches(data, network)]
    del module
    return torch.cat(parts).double().cpu().numpy()


def _batches(data: Any, network: Any) -> Iterator[torch.Tensor]:
    if isinstance(data, PictureSource):
        data.check()
        for _, batch in iter_batches(data, network.preprocessing, batch_size=BATCH):
            yield in_channels(batch, network.n_channels)
        return
    for start in range(0, data.shape[0], BATCH):
        yield as_rows(data[start : start + BATCH])
