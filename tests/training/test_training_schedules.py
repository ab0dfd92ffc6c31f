"""Schedules against torch's own schedulers and against their formulas."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sktl.training import (
    SCHEDULES,
    constant,
    cosine,
    get_schedule,
    inverse_decay,
    linear,
    make_optimizer,
    one_cycle,
    one_cycle_momentum,
    steps,
)
from sktl.training._optimizers import Rates


def torch_curve(scheduler_class, n_steps, base=1.0, key="lr", **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base, momentum=0.95)
    scheduler = scheduler_class(optimizer, **options)
    curve = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_steps):
            curve.append(optimizer.param_groups[0][key])
            scheduler.step()
    return np.asarray(curve)


def curve(schedule, n_steps):
    return np.asarray([schedule(step, n_steps) for step in range(n_steps)])


@pytest.mark.parametrize("n_steps", [7, 40, 101])
def test_one_cycle_is_torchs(n_steps):
    options = {"max_lr": 1.0, "total_steps": n_steps + 1}
    expected = torch_curve(torch.optim.lr_scheduler.OneCycleLR, n_steps, max_lr=1.0, total_steps=n_steps)
    np.testing.assert_allclose(curve(one_cycle, n_steps), expected, atol=1e-6)
    momentum = torch_curve(
        torch.optim.lr_scheduler.OneCycleLR, n_steps, key="momentum", **{**options, "total_steps": n_steps}
    )
    np.testing.assert_allclose(0.95 * curve(one_cycle_momentum, n_steps), momentum, atol=1e-6)


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_cosine_and_linear_are_torchs(end):
    n_steps = 31
    expected = torch_curve(torch.optim.lr_scheduler.CosineAnnealingLR, n_steps, T_max=n_steps, eta_min=end)
    np.testing.assert_allclose(curve(partial(cosine, end=end), n_steps), expected, atol=1e-6)
    end = max(end, 1e-9)
    options = {"start_factor": 1.0, "end_factor": end, "total_iters": n_steps}
    expected = torch_curve(torch.optim.lr_scheduler.LinearLR, n_steps, **options)
    np.testing.assert_allclose(curve(partial(linear, end=end), n_steps), expected, atol=1e-6)


def test_steps_are_torchs_multistep():
    expected = torch_curve(torch.optim.lr_scheduler.MultiStepLR, 20, milestones=[10, 15], gamma=0.1)
    np.testing.assert_allclose(curve(steps, 20), expected, atol=1e-12)
    np.testing.assert_allclose(curve(partial(steps, at=(10, 15)), 20), expected, atol=1e-12)


def test_inverse_decay_is_the_papers_formula():
    p = np.arange(50) / 50
    np.testing.assert_allclose(curve(inverse_decay, 50), (1 + 10 * p) ** -0.75, atol=1e-12)


@pytest.mark.parametrize("schedule", [constant, linear, cosine, steps, inverse_decay])
@pytest.mark.parametrize("warmup", [0.2, 4])
def test_warm_up_climbs_to_one_and_counts_shares_or_steps(schedule, warmup):
    values = curve(partial(schedule, warmup=warmup), 20)
    np.testing.assert_allclose(values[:5], [0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_short_trainings_have_rates_too(name, n_steps):
    values = curve(get_schedule(name), n_steps)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert values.max() > 0


def test_unknown_names_are_told_what_was_near():
    with pytest.raises(ValueError, match="Did you mean 'cosine'"):
        get_schedule("cosin")
    with pytest.raises(ValueError, match="Did you mean 'adam' or 'adamw'"):
        make_optimizer("adamW", [{"params": [nn.Parameter(torch.zeros(1))]}], lr=0.1)


def test_rates_scale_each_groups_own_base_and_stay_at_the_end():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.01)]
    rates = Rates(make_optimizer("adamw", groups, lr=1.0), 10, linear, one_cycle_momentum)
    rates.set(5)
    assert [group["lr"] for group in rates.optimizer.param_groups] == pytest.approx([0.05, 0.005])
    first_beta = 0.9 * one_cycle_momentum(5, 10)
    assert rates.optimizer.param_groups[0]["betas"] == (pytest.approx(first_beta), 0.999)
    rates.set(1000)
    assert rates.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * linear(9, 10))
    assert rates.rate_at(0) == pytest.approx(0.1)
