"""How much of a network is trained: one row of a table a strategy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Strategy:
    """What a strategy does with the head and with the pretrained layers.

    Attributes
    ----------
    solves_head : bool
        Whether the head starts as the linear model solved on the pretrained codes.
    trains : bool
        Whether gradient steps follow.
    is_random : bool
        Whether all values are drawn anew.
    is_gradual : bool
        Whether layers are unfrozen stage by stage, from the head down.
    freeze_until : float or None
        Depth up to which layers are frozen unless the user says otherwise.
    body_share : float
        Rate of the topmost pretrained layers as a share of the head's.
    max_epochs : int
        Where the user leaves it open.
    """

    solves_head: bool = False
    trains: bool = True
    is_random: bool = False
    is_gradual: bool = False
    freeze_until: float | None = None
    body_share: float = 0.1
    max_epochs: int = 10


STRATEGIES: dict[str, Strategy] = {
    # The linear probe: convex, solved to the end, and nothing else.
    "head": Strategy(solves_head=True, trains=False),
    # The last fifth of the layers; what lies before holds edges and textures that serve everywhere (Yosinski 2014).
    "last": Strategy(freeze_until=0.8),
    "full": Strategy(),
    # Howard and Ruder 2018: the new head must not shake up the layers below while it is still random.
    "gradual": Strategy(is_gradual=True),
    # Kumar et al. 2022: with the head solved first, features move less, and stay better away from the training data.
    # No new head shakes them up, so that they bear three times the rate.
    "lp-ft": Strategy(solves_head=True, body_share=0.3),
    "scratch": Strategy(is_random=True, body_share=1.0, max_epochs=30),
}
