"""Copies of networks that may be trained."""

from __future__ import annotations

import copy

from torch import nn
from torchvision.models import GoogLeNet, Inception3


def own_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network, without the auxiliary classifiers that torchvision's Inception networks train with.

    With them these networks return a tuple in training; without, what they return in evaluation.
    """
    copied = copy.deepcopy(network)
    for part in copied.modules():
        if isinstance(part, GoogLeNet):
            part.aux_logits, part.aux1, part.aux2 = False, None, None
        elif isinstance(part, Inception3):
            part.aux_logits, part.AuxLogits = False, None
    return copied
