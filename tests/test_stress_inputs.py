"""A short run of the attack by odd inputs."""

from tests.stress import inputs


def test_odd_inputs():
    result = inputs.run(200, seed=0)
    assert result.n_cases == 200
    assert not result.violations, "\n".join(result.violations)
