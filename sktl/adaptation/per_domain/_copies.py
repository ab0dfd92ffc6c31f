"""What an adapted copy of a classifier holds: the tensors in which its network differs."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sktl._domain_names import domain_name
from sktl._estimator import sharing_attributes
from sktl._forking import ForkSafeLock
from sktl._validation import shorten
from sktl._warn_once import warn_once
from sktl.adaptation.from_fitted._start import Start
from sktl.training import as_tensors, to_arrays

LIVE = 16  # copies that are kept ready, the last ones asked for


@dataclass
class DomainCopy:
    """A sub-domain's copy of the general classifier.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Where its network differs, by name; none for a classifier without a network that can be opened.
    whole : estimator or None
        The adapted classifier itself, where it has none.
    n_rows : int
        That it was adapted to.
    """

    tensors: dict[str, Tensor]
    whole: Any
    n_rows: int

    @property
    def n_bytes(self) -> int | None:
        """The size of the tensors; None where the classifier is held whole."""
        return None if self.whole is not None else sum(t.numel() * t.element_size() for t in self.tensors.values())

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"tensors": to_arrays(self.tensors)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update({**state, "tensors": as_tensors(state["tensors"])})


class Copies:
    """Copies of one general classifier; all share what none of them changes.

    Parameters
    ----------
    general : estimator
        Fitted; not changed.
    """

    def __init__(self, general: Any):
        self.general = general
        self.by_domain: dict[str, DomainCopy] = {}
        self._forget()

    def _forget(self) -> None:
        self._live: OrderedDict[str, Any] = OrderedDict()
        self._shared: dict[str, Tensor] | None = None
        self._lock = ForkSafeLock()

    def add(self, domain: str, adapted: Any, n_rows: int) -> None:
        """Hold what differs in an adapted classifier, under the name of a domain."""
        found, start = self._state(adapted), Start.of(self.general)
        base = None if start is None else self._base(start)
        if found is None or base is None or not _is_alike(found, base):
            held = DomainCopy({}, adapted, n_rows)
        else:
            changed = {name: value for name, value in found.items() if not torch.equal(value, base[name])}
            held = DomainCopy({name: value.clone() for name, value in changed.items()}, None, n_rows)
        with self._lock:
            self.by_domain[domain] = held
            self._live.pop(domain, None)

    def classifier(self, domain: str) -> Any:
        """Return the classifier of a domain: its copy, or the general one where there is none."""
        held = self.by_domain.get(domain)
        if held is None or held.whole is not None:
            return self.general if held is None else held.whole
        with self._lock:
            if domain not in self._live:
                self._live[domain] = self._made(held)
                if len(self._live) > LIVE:
                    self._live.popitem(last=False)
            self._live.move_to_end(domain)
            return self._live[domain]

    def _made(self, held: DomainCopy) -> Any:
        start = Start.of(self.general)
        assert start is not None
        module = start.open().module
        # tensors are taken over, not copied: what no copy changes is there once
        module.load_state_dict({**self._base(start), **held.tensors}, assign=True)
        return start.closed(module.requires_grad_(False).eval())

    def _base(self, start: Start) -> dict[str, Tensor]:
        if self._shared is None:
            self._shared = {name: value.detach().cpu() for name, value in start.open().module.state_dict().items()}
        return self._shared

    def _state(self, adapted: Any) -> dict[str, Tensor] | None:
        start = Start.of(adapted)
        if start is None:
            return None
        return {name: value.detach().cpu() for name, value in start.open().module.state_dict().items()}

    def __copy__(self) -> Copies:
        """Return a store of its own: what one is given later the other does not have. Tensors are shared."""
        copied = Copies(self.general)
        with self._lock:
            copied.by_domain.update(self.by_domain)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {"general": self.general, "by_domain": self.by_domain}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()


class HoldsCopies:
    """Mixin of the classifier whose copies change in place: a shallow copy of it has a store of its own."""

    _copies: Copies

    def __copy__(self) -> Any:
        copied = sharing_attributes(self)
        if "_copies" in copied.__dict__:
            copied._copies = copy.copy(self._copies)
        return copied


def warn_of_strangers(others: list[Any], copies: Mapping[str, DomainCopy], seen: set[str] | None) -> None:
    """Warn where no domain of a call was ever seen: names may be written otherwise than in `fit`.

    Parameters
    ----------
    others : list
        The domains of the call, none of which has a copy.
    copies : mapping of str to DomainCopy
        The copies that there are.
    seen : set of str or None
        The names that `fit` was given; None, in pickles of earlier versions, says nothing.
    """
    if seen is None or not copies or any(domain_name(other) in seen for other in others):
        return
    warn_once(
        f"No row is of a domain that fit or adapt has seen ({shorten(map(repr, sorted(seen | set(copies))))}), so the "
        "general classifier answers for all. Write domains in sample_domain as in fit, or add them by adapt."
    )


def _is_alike(found: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> bool:
    """Whether two networks are of one make."""
    return found.keys() == base.keys() and all(
        value.shape == base[name].shape and value.dtype == base[name].dtype for name, value in found.items()
    )
