"""Whether a network that is shared still is what it was when it was made.

A copy of a module has values of its own, but its classes, functions and what these enclose are the original's. Where
code of the user's changes them, the copy changes too, and it is no more what its fingerprint says.
"""

from __future__ import annotations

import copy
import weakref

import torch
from torch import nn

from sktl._identity import note_of
from sktl.backbones._fingerprint import module_identity


class AsMade:
    """What a copied network was like.

    Parameters
    ----------
    original : Module
        What it was copied from.
    network : Module
        The copy, before it is run.
    """

    def __init__(self, original: nn.Module, network: nn.Module):
        self._original = weakref.ref(original)
        self._seen = ""
        if note_of(network) is None:  # others are made of known packages alone
            kept = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
            self._twin = copy.deepcopy(network, kept)  # it is never run, so that it changes as its code does only
            self._seen = module_identity(self._twin).seen

    @torch.no_grad()
    def holds(self, original: nn.Module) -> bool:
        """Whether the copy stands for `original`, in which the same is seen as when it was made."""
        if not self._seen or self._original() is original:
            return True
        return module_identity(self._twin).seen == self._seen
