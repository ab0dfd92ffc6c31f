"""Make the experience that ships with the library of the cases of `benchmarks/advisor.py`.

Each line is one case: what describes it, and the accuracy of each candidate on rows that it was not fitted to. Run
``python benchmarks/make_experience.py`` when `benchmarks/results/advisor.json` is new.
"""

from __future__ import annotations

import json

from _advisor_experience import past
from _common import REPOSITORY, RESULTS

from sktl.advisor._experience import VERSION

PLACE = REPOSITORY / "sktl" / "advisor" / "shipped_experience.jsonl"


def lines() -> list[str]:
    """Return one line a case."""
    cases = json.loads((RESULTS / "advisor.json").read_text())["results"]["cases"]
    found = []
    for case in cases.values():
        one = past(case)
        found.append(json.dumps({"version": VERSION, "traits": one.traits, "scores": one.scores, "best": one.best}))
    return found


if __name__ == "__main__":
    PLACE.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    print(f"written to {PLACE}")
