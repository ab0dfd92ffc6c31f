"""Where tasks' codes come from, some tasks at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sktl.fewshot.transductive._span import Span

CPU_BYTES = 2**22  # codes at once on a CPU: what its caches hold, since they are gone through more than once
CPU_PRODUCTS = 2**24  # bytes of inner products at once: many small tasks share the cost of a call into torch
TABLE_BYTES = 2**29  # inner products of all rows of a table, at most
GPU_SHARE = 8  # part of the free memory that codes, or products, may take


class Source(ABC):
    """Abstract: tasks of equally many rows, prepared by the method.

    Parameters
    ----------
    n_tasks, n_rows : int
        How many, and of how many rows.
    like : Tensor of shape (..., d)
        Codes, for their width, type and device.
    """

    def __init__(self, n_tasks: int, n_rows: int, like: Tensor):
        self.n_tasks = n_tasks
        self.n_rows = n_rows
        self.like = like

    @abstractmethod
    def rows(self, some: slice) -> Tensor:
        """Return new tensors of the prepared codes of some tasks, (t, n_rows, d)."""

    def gram(self, some: slice) -> Tensor:
        """Return the inner products of some tasks' rows, (t, n_rows, n_rows)."""
        out = self.like.new_empty(some.stop - some.start, self.n_rows, self.n_rows)
        for part in self._slices(some.start, some.stop, 3 * self.n_rows * self.like.shape[-1], CPU_BYTES):
            rows = self.rows(part)
            torch.bmm(rows, rows.transpose(1, 2), out=out[part.start - some.start : part.stop - some.start])
        return out

    def spans(self, n_way: int, *, needs_rows: bool) -> Iterator[tuple[slice, Span]]:
        """Yield which tasks, and their span."""
        n, d = self.n_rows, self.like.shape[-1]
        if needs_rows or n > 2 * d:
            for some in self._slices(0, self.n_tasks, n * (3 * d + 20 * n_way), CPU_BYTES):
                yield some, Span(rows=self.rows(some))
        else:
            for some in self._slices(0, self.n_tasks, n * (2 * n + 20 * n_way), CPU_PRODUCTS):
                yield some, Span(gram=self.gram(some))

    def _slices(self, start: int, stop: int, numbers: int, on_cpu: int) -> Iterator[slice]:
        """Yield tasks that are gone through together, where each makes so many numbers."""
        device, budget = self.like.device, on_cpu
        if device.type == "cuda":
            budget = torch.cuda.mem_get_info(device)[0] // GPU_SHARE
        elif device.type != "cpu":
            budget = 2**28
        step = max(1, budget // (numbers * self.like.element_size()))
        for first in range(start, stop, step):
            yield slice(first, min(first + step, stop))


class GivenRows(Source):
    """Tasks that come as tensors.

    Parameters
    ----------
    support, query : Tensor of shape (t, n_support, d), (t, n_query, d)
        Codes.
    prepare : callable
        Applied to rows.
    """

    def __init__(self, support: Tensor, query: Tensor, prepare: Callable[[Tensor], Tensor]):
        super().__init__(len(support), support.shape[1] + query.shape[1], support)
        self.parts = support, query
        self.prepare = prepare

    def rows(self, some: slice) -> Tensor:
        """Return the prepared codes of some tasks."""
        return self.prepare(torch.cat([part[some] for part in self.parts], dim=1))


class TableRows(Source):
    """Tasks that are drawn from one table of prepared codes.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        The table.
    which : Tensor of shape (t, n_rows)
        Rows of each task.
    """

    def __init__(self, codes: Tensor, which: Tensor):
        super().__init__(len(which), which.shape[1], codes)
        self.which = which
        n = len(codes)
        # The products of all rows with all, once, where the tasks would compute more of them.
        is_less = n * n / 2 <= which.shape[0] * which.shape[1] ** 2
        is_small = n * n * codes.element_size() <= TABLE_BYTES
        self.products = lower_products(codes).flatten() if is_less and is_small else None

    def rows(self, some: slice) -> Tensor:
        """Return the codes of some tasks."""
        which = self.which[some]
        return self.like.index_select(0, which.flatten()).unflatten(0, which.shape)

    def gram(self, some: slice) -> Tensor:
        """Return the inner products of some tasks' rows."""
        if self.products is None:
            return super().gram(some)
        which = self.which[some]
        a, b = which.unsqueeze(2), which.unsqueeze(1)
        places = torch.maximum(a, b).mul_(len(self.like)).add_(torch.minimum(a, b))
        return self.products.index_select(0, places.flatten()).view(places.shape)


def lower_products(codes: Tensor, block: int = 256) -> Tensor:
    """Return the inner products (n, n) of rows with rows before them and themselves; above that, anything."""
    n = len(codes)
    out = codes.new_empty(n, n)
    for first in range(0, n, block):
        last = min(first + block, n)
        out[first:last, :last] = codes[first:last] @ codes[:last].T
    return out
