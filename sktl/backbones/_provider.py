"""A source of named networks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from torch import nn

from sktl._preprocessing import Preprocessing
from sktl.backbones._weights import load_strictly, read_state_dict


class Provider(ABC):
    """One source of named networks. A new source is one subclass: it is found once its class is defined."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the public names of all networks of this source."""

    def canonical(self, name: str) -> str | None:
        """Return the public name of the network that a user means by `name`; None if it is none of this source's.

        Sources that know several ways to say it ("torchvision/resnet18", a tag of weights behind the name) override it;
        the other methods are given what it returns.
        """
        return name if name in self.names() else None

    @abstractmethod
    def architecture(self, name: str) -> nn.Module:
        """Build the network of that public name with whatever values its constructor gives."""

    def load_file(self, name: str, module: nn.Module, path: str | os.PathLike) -> None:
        """Fill `module` with the tensors of a file, named as in the network.

        Sources whose networks are published in other layouts too override it.
        """
        load_strictly(module, read_state_dict(path), origin=str(path))

    @abstractmethod
    def load_published(self, name: str, module: nn.Module, weights: str) -> None:
        """Fill `module` with the published weights that `weights` names ("default" for the best ones)."""

    @abstractmethod
    def preprocessing(self, name: str, weights: object) -> Preprocessing:
        """Return what those weights expect of a picture."""
