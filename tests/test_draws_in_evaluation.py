"""Networks that have parts that could draw, and do not in evaluation mode, are not slowed down by what keeps draws."""

import numpy as np
import pytest
import torch
from torch import nn

from sktl import CNNCodesTransformer
from sktl._draws import OwnDraws


class Attention(nn.Module):
    def __init__(self, dropout_p=0.0):
        super().__init__()
        self.dropout_p = dropout_p
        self.conv, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 4)

    def forward(self, x):
        rows = self.conv(x).flatten(2).transpose(1, 2)
        rows = nn.functional.scaled_dot_product_attention(rows, rows, rows, dropout_p=self.dropout_p)
        return self.head(rows.mean(1))


PARTS = {
    "dropout": lambda: nn.Dropout(0.5),
    "in place": lambda: nn.Dropout(0.5, inplace=True),
    "maps": lambda: nn.Dropout2d(0.5),
    "alpha": lambda: nn.AlphaDropout(0.5),
    "rrelu": nn.RReLU,
    "lstm": lambda: nn.LSTM(8, 8, num_layers=2, dropout=0.5),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_parts_draw_in_training_alone(name, mode):
    with torch.random.fork_rng(devices=[]), mode():
        part, x = PARTS[name](), torch.ones(2, 8, 8)
        for training in (False, True):
            part.train(training)
            with OwnDraws() as own:
                found = part(x)
            assert own.has_drawn == training
            torch.manual_seed(0)
            expected = part(x)
            first, second = (each[0] if isinstance(each, tuple) else each for each in (found, expected))
            assert torch.equal(first, second)


@pytest.mark.parametrize("dropout_p", [0.0, 0.5])
def test_attention_draws_where_it_drops(dropout_p):
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), OwnDraws() as own:
        net = Attention(dropout_p).eval()
        own.has_drawn = False
        net(torch.ones(1, 3, 8, 8))
    assert own.has_drawn == (dropout_p > 0)


def test_a_network_that_has_not_drawn_is_left_alone_from_then_on(monkeypatch):
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2),
                            nn.Linear(4, 2)).eval()  # fmt: skip
    X = np.random.default_rng(0).integers(0, 255, (4, 12, 12, 3), dtype=np.uint8)
    codes = CNNCodesTransformer(net, image_size=12, engine="torch", cache=None).fit(X)
    expected = codes.transform(X)
    monkeypatch.setattr(OwnDraws, "__enter__", lambda self: pytest.fail("drew before"))
    np.testing.assert_allclose(codes.transform(X), expected)
