"""Tensors that no network can take, whatever they claim: named in one error, before any of their values is read."""

import pytest
import torch

from sktl.backbones import load_backbone
from sktl.exceptions import WeightsError

NAME = "features.0.weight"
SHAPE = (64, 3, 3, 3)


@pytest.fixture(scope="module")
def state():
    return dict(load_backbone("squeezenet1_1", None).module.state_dict())


def nested():
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])


ODD = {
    "expanded": (lambda: torch.zeros(1).expand(10**6, 10**6), r"is \(1000000, 1000000\), should be \(64, 3, 3, 3\)"),
    "meta": (lambda: torch.empty(SHAPE, device="meta"), "meta device"),
    "meta of terabytes": (lambda: torch.empty(10**6, 10**6, device="meta"), "meta device"),
    "sparse": (lambda: torch.zeros(SHAPE).to_sparse(), "sparse"),
    "compressed sparse": (lambda: torch.eye(4).to_sparse_csr(), "sparse"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.zeros(SHAPE), 0.1, 0, torch.qint8), "quantised"),
    "nested": (nested, "nested"),
    "complex": (lambda: torch.zeros(SHAPE, dtype=torch.complex64), "complex64, should be torch.float32"),
    "integers": (lambda: torch.zeros(SHAPE, dtype=torch.int64), "int64, should be torch.float32"),
    "NaN of eight bits": (lambda: torch.full(SHAPE, torch.nan).to(torch.float8_e5m2), "NaN or infinite values"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "message"), ODD.values(), ids=ODD)
def test_is_named(make, message, state, tmp_path):
    path = tmp_path / "odd.pth"
    torch.save({**state, NAME: make()}, path)
    with pytest.raises(WeightsError, match=f"{NAME}.*{message}|{message}.*{NAME}"):
        load_backbone("squeezenet1_1", path)


def test_names_that_are_no_text_are_missing(state, tmp_path):
    names = list(state)
    torch.save({**{name: state[name] for name in names[1:]}, 5: state[names[0]]}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=f"1 missing: {names[0]}"):
        load_backbone("squeezenet1_1", tmp_path / "odd.pth")
