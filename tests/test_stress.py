"""The attacks find what is wrong, and their table says how many cases were tried."""

import json
import os
import sys

import numpy as np
import pytest

from tests.stress import __main__ as front
from tests.stress import forks, growth, threads


def given(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["stress", "--minutes", "0", *map(str, arguments)])


def test_table(tmp_path, monkeypatch, capsys):
    given(monkeypatch, "--only", "store_records", "--output", tmp_path / "found.json", "--page", tmp_path / "page.md")
    assert front.main() == 0
    row = json.loads((tmp_path / "found.json").read_text())["attacks"]["store_records"]
    assert row["cases"] == front.AT_A_TIME["store_records"]
    assert "5,000 | 0 |" in (tmp_path / "page.md").read_text()
    assert "store_records: 5000 cases, 0 violations" in capsys.readouterr().out
    given(monkeypatch, "--more", "--only", "store_records", "--output", tmp_path / "found.json")
    assert front.main() == 0
    more = json.loads((tmp_path / "found.json").read_text())["attacks"]["store_records"]
    assert (more["cases"], more["next_seed"]) == (2 * row["cases"], row["next_seed"] + 1)


@pytest.mark.parametrize("end", ["import os; os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
def test_a_process_that_dies_is_a_violation(end, monkeypatch, capsys):
    monkeypatch.setattr(front, "PROGRAM", end)
    given(monkeypatch, "--only", "damage", "inputs")
    assert front.main() == 2
    assert "the process ended with" in capsys.readouterr().out


def test_every_attack_is_known():
    assert set(front.AT_A_TIME) == set(front.SAYS) == set(front.SHARES)


def test_threads():
    found = threads.run(4, 0)
    assert found.n_cases == 4
    assert not found.violations


def test_threads_that_differ_are_found(monkeypatch):
    calls = iter(range(10**6))
    monkeypatch.setattr(threads, "outputs", lambda *_: [[next(calls)]])
    assert "differ" in threads.run(1, 0).violations[0]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_child_that_fails_is_found(monkeypatch, tmp_path):
    program = tmp_path / "forks.py"
    program.write_text("print('hung in the child'); print('tried 1')")
    monkeypatch.setattr(forks, "PROGRAM", [sys.executable, str(program)])
    assert "hung in the child" in forks.run(1, 0).violations[0]


def test_growth_is_found(monkeypatch):
    kept = []
    monkeypatch.setattr(growth, "outputs", lambda *_: kept.append(np.ones(2 * 10**6)))  # 16 MB
    assert "in 5 rounds" in growth.run(1, 0, n_rounds=5, n_first=1).violations[0]


def test_memory_does_not_grow():
    assert not growth.run(2, 0, n_rounds=10, n_first=2).violations


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="this system does not say which files are open")
def test_open_files_are_found(monkeypatch):
    kept = []
    monkeypatch.setattr(growth, "outputs", lambda *_: kept.append(open(os.devnull)))  # noqa: SIM115
    assert "9 open files in 9 rounds" in growth.run(1, 0, n_rounds=9, n_first=1).violations[0]
    for file in kept:
        file.close()
