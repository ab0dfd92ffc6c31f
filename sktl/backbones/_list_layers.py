"""The layers of a network, to choose from."""

from __future__ import annotations

from typing import Any

from torch import nn

from sktl._modes import in_plain_modes
from sktl.backbones._backbone import load_backbone
from sktl.backbones._layers import LayerTable


@in_plain_modes
def list_layers(
    backbone: Any = "efficientnet_lite0", *, weights: Any = None, image_size: int | tuple[int, int] | None = None
) -> LayerTable:
    """List the places of a network where codes can be taken: name, depth, channels, resolution, share of the MACs.

    Parameters
    ----------
    backbone : str, Module or callable, default="efficientnet_lite0"
        The network.
    weights : default=None
        As in `load_backbone`; the list does not depend on them, so none are loaded by default.
    image_size : int or (int, int), default=None
        Height and width of the pictures in pixels; None takes what the weights expect.

    Returns
    -------
    LayerTable
        A tuple of `LayerInfo` that prints as a table. A star marks the stages, which ``layers="all"`` takes.

    Examples
    --------
    >>> from sktl import list_layers
    >>> table = list_layers("resnet18")
    >>> table[-1].name, table[-1].channels, table[-1].resolution
    ('layer4', 512, (7, 7))
    """
    if isinstance(backbone, nn.Module) and weights is None:
        weights = "default"
    loaded = load_backbone(backbone, weights)
    return loaded.trace(loaded.preprocessing.resized_to(image_size).size).layers
