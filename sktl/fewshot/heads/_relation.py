"""A learned distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sktl.fewshot.heads._head import Head, State, one_hot

CHANNELS = 64
HIDDEN = 8
PAIRS_AT_ONCE = 4096  # of maps, where no gradient is wanted
PRIOR = -1.5  # logit of a score at the start: most pairs do not belong together, and unlearning 1/2 kills units


class RelationHead(Head):
    """A network that looks at a class's summed code and a query's side by side and says how well they go together.

    Codes are feature maps for two convolutions, or vectors for an MLP. As in the paper the score, a sigmoid, is
    regressed to 1 for the query's class and 0 for the others. It departs from it in that a class is the mean of its
    rows and not their sum, so that one network serves any number of shots, and in that scores start low: from one half
    on, all of them fall at first, and the few last units easily never fire again.

    References
    ----------
    .. [1] F. Sung, Y. Yang, L. Zhang, T. Xiang, P. Torr and T. Hospedales, "Learning to compare: relation network
       for few-shot learning", CVPR, 2018.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import RelationHead
    >>> head = RelationHead()
    >>> head.build((64, 7, 7))
    >>> support, query = torch.rand(2, 64, 7, 7), torch.rand(6, 64, 7, 7)
    >>> head.eval()(support, torch.tensor([0, 1]), query, n_way=2).shape
    torch.Size([6, 2])
    """

    takes_maps = True

    def build(self, code_shape: tuple[int, ...]) -> None:
        """Make the network that compares."""
        self.code_shape = tuple(code_shape)
        n_in = 2 * code_shape[0]
        last = nn.Linear(HIDDEN, 1)
        nn.init.constant_(last.bias, PRIOR)
        if len(code_shape) == 1:
            self.compare = nn.Sequential(
                nn.Linear(n_in, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, HIDDEN), nn.LeakyReLU(), last
            )
            return
        layers: list[nn.Module] = []
        height, width = code_shape[1:]
        for _ in range(2):
            layers += [nn.Conv2d(n_in, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS), nn.ReLU()]
            n_in = CHANNELS
            if min(height, width) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(CHANNELS * height * width, HIDDEN), nn.LeakyReLU(), last]
        self.compare = nn.Sequential(*layers)

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return the mean code of each class."""
        belongs = one_hot(y, n_way, support.dtype).transpose(-1, -2)
        flat = support.flatten(-len(self.code_shape))
        means = belongs @ flat / belongs.sum(-1, keepdim=True).clamp_min(1)
        return {"prototypes": means.unflatten(-1, self.code_shape)}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return r(c_k, q); the relation score is its sigmoid."""
        prototypes, axes = state["prototypes"], len(self.code_shape)
        if self.training:
            return self._compared(prototypes, query)
        # every query is paired with every class of every task: some queries at a time
        at_once = max(1, PAIRS_AT_ONCE // max(1, math.prod(prototypes.shape[:-axes])))
        return torch.cat([self._compared(prototypes, part) for part in query.split(at_once, -axes - 1)], -2)

    def _compared(self, prototypes: Tensor, query: Tensor) -> Tensor:
        axes = len(self.code_shape)
        prototypes = prototypes.unsqueeze(-axes - 2)  # (..., 1, n_way, *code_shape)
        query = query.unsqueeze(-axes - 1)  # (..., n_query, 1, *code_shape)
        shape = torch.broadcast_shapes(prototypes.shape, query.shape)
        pairs = torch.cat([prototypes.expand(shape), query.expand(shape)], dim=-axes)
        return self.compare(pairs.flatten(0, -axes - 1)).reshape(shape[:-axes])

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean squared error of the scores."""
        # sum_{q,k} (sigmoid(r_qk) - [y_q = k])^2 / (number of them)
        counts = (y >= 0).unsqueeze(-1).to(logits.dtype)
        errors = (torch.sigmoid(logits) - one_hot(y, logits.shape[-1], logits.dtype)).square() * counts
        return errors.sum() / (counts.sum() * logits.shape[-1]).clamp_min(1)
