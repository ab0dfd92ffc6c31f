"""Processes killed at random moments: nothing that was kept is lost, and what goes on ends as if undisturbed."""

from tests.stress import kills


def test_each_kind_of_work():
    result = kills.run(len(kills.KINDS), seed=0)
    if result.skipped is None:
        assert result.n_cases == len(kills.KINDS)
    assert not result.violations, "\n".join(result.violations)
