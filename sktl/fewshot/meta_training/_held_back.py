"""Parameters of a user's network that were to be meta-trained, and that no gradient can reach."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sktl._draws import OwnDraws
from sktl.fewshot.meta_training._encoders import Encoder, EncoderPlan
from sktl.training import warn_of_unreached

FEW_ROWS = 2  # what batch norm needs


def n_held_back(learner: Any, method: nn.Module, plan: EncoderPlan, rows: Tensor) -> int:
    """Warn of the parameters of the user's network that no gradient reaches; return how many numbers they hold."""
    if not isinstance(learner.backbone, nn.Module):
        return 0
    trained = next(part for part in method.modules() if isinstance(part, Encoder)).network.named_parameters()
    trained_names = {name for name, p in trained if p.requires_grad}  # some methods leave the encoder as it is
    found = {name: p for name, p in parameters_held_back(plan.build(), rows).items() if name in trained_names}
    if found:
        warn_of_unreached(found, learner, ", unless they are to stay as they are.")
    return sum(p.numel() for p in found.values())


def parameters_held_back(encoder: Encoder, rows: Tensor) -> dict[str, nn.Parameter]:
    """Return the parameters, by the names that they have in the user's network.

    The gradients of training do not tell: methods that adapt copies fill those that are missing with zeros. So an
    encoder as it was before training is run once, as in training, and the graph of its codes is asked.
    """
    own = {name: p for name, p in encoder.network.named_parameters() if p.requires_grad}
    with OwnDraws(0), torch.enable_grad():
        codes = encoder.train()(rows[:FEW_ROWS].cpu())
    if not codes.requires_grad or not own:
        return own
    slopes = torch.autograd.grad(codes.sum(), list(own.values()), allow_unused=True)
    return {name: p for (name, p), slope in zip(own.items(), slopes) if slope is None}
