"""Damaged saved models, checkpoints and stores: never another answer, never a raw error."""

from tests.stress import damage


def test_a_few_of_each_kind():
    result = damage.run(24, seed=1)
    assert result.n_cases == 24
    assert not result.violations, "\n".join(result.violations)
