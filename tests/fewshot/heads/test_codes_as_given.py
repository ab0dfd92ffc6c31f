"""Heads and transductive methods called on what is not finite, of half precision, whole, huge, or no tensor."""

import numpy as np
import pytest
import torch

from sktl._device import cpu_has_bfloat16
from sktl.fewshot import ProtoNetLearner
from sktl.fewshot.heads import HEADS, MatchingHead, RelationHead
from sktl.fewshot.transductive import BDCSPN, PTMAP, TIM, LaplacianShot, power_transformed, smoothed_assignments
from sktl.fewshot.transductive import transport as transported

Y = torch.tensor([0, 0, 1, 1, 2, 2])
HALVES = (torch.float16, torch.bfloat16)


def relation():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = RelationHead()
        head.build((8,))
    return head.eval()


METHODS = {
    "bd_cspn": BDCSPN, "laplacian_shot": LaplacianShot, "tim": TIM, "tim-gd": lambda: TIM("gd", n_iter=40),
    "tim-gd-cosine": lambda: TIM("gd", distance="cosine", n_iter=40), "pt_map": PTMAP,
    "pt_map-1000": lambda: PTMAP(power=1000.0),
}  # fmt: skip
ALL = {**HEADS, "matching": MatchingHead, "relation": relation, **METHODS}
everywhere = pytest.mark.parametrize("name", ALL)


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    return tuple(torch.from_numpy(rng.normal(size=(n, 8))) for n in (6, 12))


@everywhere
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", ["support", "query"])
def test_what_is_not_finite_is_refused(name, value, place, codes):
    support, query = codes
    dict(zip(("support", "query"), codes, strict=True))[place][3, 2] = value
    with pytest.raises(ValueError, match=f"{place} holds NaN or infinity: 1 of"):
        ALL[name]()(support, Y, query, 3)


@everywhere
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("factor", [1, 1000])
def test_half_precision_is_computed_in_float32(name, dtype, factor, codes):
    support, query = ((factor * part).to(dtype) for part in codes)
    found, wanted = ALL[name]()(support, Y, query, 3), ALL[name]()(support.float(), Y, query.float(), 3)
    assert found.dtype == dtype
    assert found.isfinite().all()
    if dtype == torch.float16:  # what is beyond its range is given less the row's largest
        wanted = wanted - wanted.amax(-1, keepdim=True)
        wanted = wanted.clamp_min(torch.finfo(dtype).min)
        found = found - found.amax(-1, keepdim=True)
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=0.3)
    assert (found.gather(-1, wanted.argmax(-1, keepdim=True)) == found.amax(-1, keepdim=True)).all()


@everywhere
def test_arrays_whole_numbers_and_mixed_types(name, codes):
    support, query = codes
    wanted = ALL[name]()(support, Y, query, 3)
    torch.testing.assert_close(ALL[name]()(support.numpy(), Y.numpy(), query.numpy(), 3), wanted)
    mixed = ALL[name]()(support.float(), Y, query, 3)
    assert mixed.dtype == torch.float64
    torch.testing.assert_close(mixed, wanted, rtol=1e-3, atol=1e-3)
    whole = [(20 * part).round() for part in codes]
    found = ALL[name]()(whole[0].long(), Y, whole[1].int(), 3)
    torch.testing.assert_close(found, ALL[name]()(whole[0].float(), Y, whole[1].float(), 3))
    with pytest.raises(TypeError, match="support must hold real numbers"):
        ALL[name]()(support.to(torch.complex64), Y, query, 3)


@everywhere
@pytest.mark.parametrize(("dtype", "factor"), [(torch.float64, 1e300), (torch.float32, 1e30)])
def test_huge_codes(name, dtype, factor, codes):
    support, query = ((factor * part).to(dtype) for part in codes)
    if name in METHODS:  # directions are all that counts
        wanted = ALL[name]()(*(part.to(dtype) if part is not Y else Y for part in (codes[0], Y, codes[1])), 3)
        torch.testing.assert_close(ALL[name]()(support, Y, query, 3), wanted, rtol=1e-2, atol=1e-2)
        tiny = ALL[name]()((codes[0] / factor).to(dtype), Y, (codes[1] / factor).to(dtype), 3)
        torch.testing.assert_close(tiny, wanted, rtol=1e-2, atol=1e-2)
    else:
        with pytest.raises(ValueError, match="Scale the rows"):
            ALL[name]()(support, Y, query, 3)


@everywhere
@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        ([0, 0, 1, 1, 2, 3], ValueError, "labels below n_way=3"),
        ([0, 0, 1, 1, 2, -2], ValueError, "or -1 for padding; got -2"),
        ([0, 0, 1, 1, 2, 1.5], TypeError, "whole numbers"),
    ],
)
def test_labels_that_are_none(name, y, error, words, codes):
    with pytest.raises(error, match=words):
        ALL[name]()(codes[0], torch.tensor(y), codes[1], 3)


def test_autocast_of_the_callers_changes_no_head(codes):
    support, query = (part.float() for part in codes)
    for name in (*HEADS, "matching", "relation"):
        head = ALL[name]()
        wanted = head(support, Y, query, 3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(head(support, Y, query, 3), wanted)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16 of its own, and is refused")
@pytest.mark.parametrize("head", ["prototypes", "ridge", "logistic"])
def test_meta_training_in_half_precision_solves_heads_in_float32(head):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 6)
    X = (rng.integers(0, 60, (36, 8, 8, 3)) + 30 * y[:, None, None, None]).astype(np.uint8)
    learner = ProtoNetLearner(
        head=head, precision="bfloat16", n_episodes=4, n_way=3, n_shot=2, n_query=2, random_state=0, device="cpu",
        image_size=16,
    )  # fmt: skip
    assert np.isfinite(learner.fit(X, y).history_[-1]["train_loss"])


@pytest.mark.parametrize("factor", ["temperature", "certainty", "support_weight", "share_weight"])
def test_factors_are_finite_as_far_as_they_go(factor, codes):
    support, query = (part.float() for part in codes)
    for solver in ("adm", "gd"):
        method = TIM(solver, n_iter=30, **{factor: 1e6})
        assert method(support, Y, query, 3).isfinite().all()
        with pytest.raises(ValueError, match=f"'{factor}' parameter of TIM"):
            TIM(solver, **{factor: 1e300})(support, Y, query, 3)


@pytest.mark.parametrize(
    "method", [BDCSPN(1e6, temperature=1e6), PTMAP(sharpness=1e6, power=1e6), LaplacianShot(1e6)], ids=repr
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_largest_factors(method, dtype, codes):
    assert method(codes[0].to(dtype), Y, codes[1].to(dtype), 3).isfinite().all()


def test_a_class_that_nothing_is_assigned_to_keeps_its_prototype(codes):
    far = TIM(support_weight=0, share_weight=0, certainty=1e6)(codes[0], Y, codes[0][:4].repeat(3, 1), 3)
    assert far.isfinite().all()


def test_parts_of_methods_are_finite_too():
    rows = torch.tensor([[3.0, 4.0, 0.0], [-1e30, 1e30, 0.0]])
    torch.testing.assert_close(power_transformed(rows, 2.0)[0] * 25, torch.tensor([9.0, 16, 0]) * 25 / (337**0.5))
    torch.testing.assert_close(power_transformed(rows, 1e5)[1], torch.tensor([-(0.5**0.5), 0.5**0.5, 0]))
    costs = torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(0))
    for dtype in HALVES:
        plan, potentials = transported(costs.to(dtype), sharpness=10.0)
        wanted, _ = transported(costs.to(dtype).float(), sharpness=10.0)
        assert plan.dtype == potentials.dtype == dtype
        torch.testing.assert_close(plan.float(), wanted, rtol=1e-2, atol=1e-2)
    bad = costs.clone()
    bad[0, 1, 4] = torch.nan
    with pytest.raises(ValueError, match="costs holds NaN"):
        transported(bad, sharpness=10.0)
    neighbours = torch.zeros(2, 1, 9, dtype=torch.int64)
    with pytest.raises(ValueError, match="costs holds NaN"):
        smoothed_assignments(bad, neighbours, weight=0.7, n_iter=3)
    assert smoothed_assignments(costs.half(), neighbours, weight=0.7, n_iter=3).dtype == torch.float16
