"""What earlier searches tell: a file of lines, the nearest of them, and files that are damaged."""

import json
import os

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sktl import AutoTransferClassifier
from sktl.advisor._candidates import SHALLOW, SIMPLE, Candidate
from sktl.advisor._experience import Past, by_experience, distance, note_experience, read_experience

TRAITS = {"kind": "pictures", "task": "classes", "log_rows": 2.0}


def candidates():
    names = ("simple", "a", "b", "c")
    return [Candidate(n, n, SHALLOW if i else SIMPLE, LogisticRegression()) for i, n in enumerate(names)]


def test_distance_is_of_traits():
    assert distance(TRAITS, TRAITS) == 0
    assert distance(TRAITS, {**TRAITS, "log_rows": 3.0}) == 1
    assert distance(TRAITS, {**TRAITS, "kind": "text"}) == 10


def test_the_nearest_say_what_comes_first():
    near = Past({**TRAITS, "log_rows": 2.1}, {"simple": 0.5, "a": 0.6, "b": 0.7, "c": 0.9}, "c")
    far = Past({**TRAITS, "log_rows": 9.0}, {"simple": 0.5, "a": 0.9, "b": 0.1, "c": 0.2}, "a")
    other = Past({**TRAITS, "kind": "text"}, {"a": 0.9}, "a")
    found, used = by_experience(candidates(), TRAITS, [other, far, near])
    assert used[0] is near
    assert other not in used
    assert [c.name for c in found][:2] == ["simple", "c"]
    assert by_experience(candidates(), TRAITS, [])[1] == []


def test_a_search_is_noted_and_used(tmp_path):
    path = tmp_path / "deep" / "experience.jsonl"
    X = np.random.default_rng(0).normal(size=(80, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    first = AutoTransferClassifier("codes", experience=path).fit(X, y)
    assert first.n_near_ == 0
    line = json.loads(path.read_text())
    assert line["best"] == first.best_candidate_
    assert line["traits"]["log_rows"] == pytest.approx(np.log10(80), abs=1e-3)
    assert set(line["scores"]) <= set(first.leaderboard_["candidate"])
    again = AutoTransferClassifier("codes", experience=path, n_candidates=2).fit(X, y)
    assert again.n_near_ == 1
    assert again.best_candidate_ == first.best_candidate_
    assert len(path.read_text().splitlines()) == 2


def test_lines_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / "experience.jsonl"
    note_experience(path, TRAITS, {"a": 0.5}, "a")
    with path.open("a") as file:
        file.write(
            '{"version": 99}\nno json\n[1]\n{"version": 1, "traits": {"x": NaN}, "scores": {}, "best": "a"}\n{"ver'
        )
    with pytest.warns(UserWarning, match=r"line 2 \(version 99.*line 3 .*line 4 .*line 5 .*line 6"):
        found = read_experience(path)
    assert len(found) == 1
    note_experience(path, TRAITS, {"b": 0.5}, "b")  # behind a line that was cut short
    with pytest.warns(UserWarning, match="line 6"):
        assert [one.best for one in read_experience(path)] == ["a", "b"]


def test_a_file_that_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "experience.jsonl"
    note_experience(path, TRAITS, {"a": 0.5}, "a")
    os.chmod(path, 0o444)

    def refuse(self, mode="r", *args, **kwargs):
        raise PermissionError("read-only")

    with monkeypatch.context() as patched:
        patched.setattr(type(path), "open", refuse)
        with pytest.warns(UserWarning, match="cannot be written .read-only"):
            note_experience(path, TRAITS, {"a": 0.5}, "a")
    assert len(read_experience(path)) == 1
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.warns(UserWarning, match="cannot be written"):
        note_experience(folder, TRAITS, {}, "a")


def test_odd_files_and_numbers(tmp_path):
    path = tmp_path / "experience.jsonl"
    line = {"version": 1, "traits": TRAITS, "scores": {"a": 0.5, "b": float("nan"), "c": float("inf")}, "best": "a"}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(line).encode())  # as some editors begin files
    (found,) = read_experience(path)
    assert found.scores == {"a": 0.5}  # what is no number ranks nothing
    with pytest.warns(UserWarning, match="cannot be read"):
        assert read_experience(tmp_path) == []
    path.write_bytes(bytes(range(256)))
    with pytest.warns(UserWarning, match="left out line 1"):
        assert read_experience(path) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"scores": {"a": 10**400}},
        {"traits": TRAITS | {"log_rows": 10**400}},
        {"version": "x" * 10**6},
        {"best": ["a"], "scores": ["a", 1]},
        {"traits": None},
        {"traits": {"log_rows": [1]}},
        {"scores": {"a": None}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_lines_damaged_in_other_ways(changed, tmp_path):
    path = tmp_path / "experience.jsonl"
    note_experience(path, TRAITS, {"a": 0.5}, "a")
    line = {"version": 1, "traits": TRAITS, "scores": {"a": 0.5}, "best": "a"} | changed
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.warns(UserWarning, match=r"left out line 2 \(") as caught:
        assert len(read_experience(path)) == 1
    assert len(str(caught[0].message)) < 400


def test_far_numbers_are_far_and_no_error():
    assert distance(TRAITS, TRAITS | {"log_rows": 1e300}) == pytest.approx(1e300)
    assert distance({"x": 1.7e308}, {"x": -1.7e308}) == np.inf
    assert distance({"x": 3.0, "y": 0.0}, {"x": 0.0, "y": 4.0}) == 5.0


@pytest.mark.parametrize("path", ["no\0name", "x" * 5000], ids=["null", "long"])
def test_a_name_that_no_file_has(path):
    if len(path) > 100:
        with pytest.warns(UserWarning, match="cannot be read"):
            assert read_experience(path) == []
    else:
        assert read_experience(path) == []
    with pytest.warns(UserWarning, match="cannot be written"):
        note_experience(path, TRAITS, {"a": 0.5}, "a")
