"""What an attack found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Result:
    """How many cases were tried, and each one that broke the contract, in words that let it be tried again."""

    name: str
    n_cases: int = 0
    violations: list[str] = field(default_factory=list)
    skipped: str | None = None  # why nothing could be tried here

    @property
    def n_violations(self) -> int:
        """How many cases broke the contract."""
        return len(self.violations)

    def count(self, violation: str | None = None) -> None:
        """Count a case; with what went wrong, if something did."""
        self.n_cases += 1
        if violation is not None:
            self.violations.append(violation)

    def __str__(self) -> str:
        if self.skipped is not None:
            return f"{self.name}: skipped, {self.skipped}"
        return f"{self.name}: {self.n_cases} cases, {self.n_violations} violations"
