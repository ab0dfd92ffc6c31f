"""How large a training sees its pictures, for how long, and which comes first."""

from types import SimpleNamespace

import numpy as np
import pytest

from sktl import AutoTransferClassifier
from sktl.advisor import CodesCandidates, FineTuningCandidates
from sktl.advisor._candidates import EPOCHS, TRAINED, Candidate, View
from sktl.advisor._clock import TimeBudget
from sktl.advisor._entry import Entry, fit_to_time, ways
from sktl.advisor._experience import whole_name
from sktl.advisor._search import Search
from sktl.advisor._tasks import ClassTask
from sktl.advisor._trainings import GROWING
from sktl.finetuning import FineTunedClassifier
from tests.advisor.conftest import squares


def owner_of(**settings):
    return AutoTransferClassifier(**settings)


def material_of(side, n=60, similarity=None, seconds_a_picture=None):
    X = ["picture.png"] * n if side is None else np.zeros((n, side, side, 3), np.uint8)
    problem = SimpleNamespace(kind="pictures", is_pictures=True, classes=np.arange(2), sizes=np.array([n // 2, n // 2]))
    decision = None if similarity is None else SimpleNamespace(similarity=SimpleNamespace(value=similarity))
    sides = None if side is None else side
    return SimpleNamespace(
        X=X, n=n, layers=[], problem=problem, decision=decision, side=sides, seconds_a_picture=seconds_a_picture
    )


def candidates(material, **settings):
    return {one.name: one for one in FineTuningCandidates()._candidates(owner_of(**settings), material)}


def sides(candidate):
    return [view.side for view in candidate.views]


def test_small_pictures_are_seen_larger():
    found = candidates(material_of(28))
    assert sides(found["full"]) == sides(found["last"]) == [128, 64]
    assert [view.changes for view in found["full"].views] == [{"image_size": 128}, {"image_size": 64}]


def test_large_pictures_grow():
    for side in (300, None):
        found = candidates(material_of(side))
        first, second = found["full"].views
        assert (first.side, first.changes) == (224, {"progressive_resizing": GROWING})
        assert (second.side, second.changes) == (128, {"image_size": 128})
        assert found["last"].views[0].changes == {}  # frozen layers run once


def test_a_size_that_is_given_is_kept():
    found = candidates(material_of(28), image_size=32)
    assert all(sides(one) == [32] and one.views[0].changes == {} for one in found.values())
    assert found["full"].estimator.image_size == 32


def test_another_network_is_left_its_size():
    material = material_of(300)
    material.layers = [SimpleNamespace(item="resnet18")]  # its weights do not come in a package
    assert all(sides(one) == [None] for one in candidates(material).values())


@pytest.mark.parametrize(("similarity", "first"), [(None, "lp-ft"), (0.7, "lp-ft"), (0.5, "lp-ft"), (0.4, "full")])
def test_all_layers_come_first_for_what_is_unlike(similarity, first):
    assert next(iter(candidates(material_of(300, similarity=similarity)))) == first


def test_ways_end_with_few_epochs_of_the_smallest():
    large, small = View((2.0, 2.0), 128), View((2.0, 2.0), 64)
    assert ways([large, small]) == [(large, 10), (large, 6), (small, 10), (small, 6), (small, 3)]
    assert ways([small]) == [(small, 10), (small, 6), (small, 3)]


def entry():
    views = (View((2.0, 2.0), 128, {"image_size": 128}, " at 128 pixels"),
             View((2.0, 2.0), 64, {"image_size": 64}, " at 64 pixels"))  # fmt: skip
    return Entry(Candidate("full", "fine-tune, full", TRAINED, FineTunedClassifier(strategy="full"), views=views))


# A pass over 100 rows at 128 pixels takes 100 * 0.01 * (128 / 224)^2 = 0.327 s, at 64 0.082 s; training two each: a fit
# of 10, 6, 3 epochs takes 2 * (2 + 2 e) = 44, 28, 16 passes. A fold of 50 rows and all rows, with caution 1.25:
# 26.9 s (128, 10), 17.1 s (128, 6), 6.7 s (64, 10), 4.3 s (64, 6), 2.4 s (64, 3).
@pytest.mark.parametrize(
    ("seconds", "name", "size", "epochs"),
    [
        (None, "full at 128 pixels", 128, "auto"), (27.5, "full at 128 pixels", 128, "auto"),
        (26.0, "full at 128 pixels, 6 epochs", 128, 6), (16.5, "full at 64 pixels", 64, "auto"),
        (6.0, "full at 64 pixels, 6 epochs", 64, 6), (4.0, "full at 64 pixels, 3 epochs", 64, 3),
        (2.0, "full", None, 10),
    ],
)  # fmt: skip
def test_what_there_is_time_for(seconds, name, size, epochs):
    one = entry()
    has_time = fit_to_time(one, material_of(28, n=100, seconds_a_picture=0.01), 50, TimeBudget(seconds))
    assert has_time == (size is not None)
    assert one.candidate.name == name
    if has_time:
        assert one.candidate.estimator.get_params()["image_size"] == size
        assert one.candidate.estimator.get_params()["max_epochs"] == epochs
        assert one.epochs == (EPOCHS[0] if epochs == "auto" else epochs)
        known = one.candidate.seconds(material_of(28, n=100, seconds_a_picture=0.01), 100, one.epochs)
        assert known == pytest.approx(2 * (2 + 2 * one.epochs) * (size / 224) ** 2)


def test_time_for_another_last_fit_is_kept():
    material = material_of(28, n=100, seconds_a_picture=0.01)
    one = entry()
    assert fit_to_time(one, material, 50, TimeBudget(27.5), reserve=lambda entry, final: max(final, 17.0))
    assert one.candidate.name == "full at 128 pixels, 6 epochs"  # 5.7 + 17 < 22 s of 27.5; 7.2 + 17 is not


def test_what_nobody_has_timed_is_left_as_it_is():
    one = entry()
    assert fit_to_time(one, material_of(28), 50, TimeBudget(1.0))
    assert one.candidate.name == "full at 128 pixels"


@pytest.mark.parametrize("name", ["full", "full at 128 pixels", "full at 64 pixels, 3 epochs", "full, 6 epochs"])
def test_experience_knows_a_training_by_its_name_alone(name):
    assert whole_name(name) == "full"
    assert whole_name("logistic regression on blocks.4 and penultimate").endswith("penultimate")


def test_a_training_is_asked_beside_the_codes(network):
    X, y = squares(160)
    noisy = np.where(np.random.default_rng(0).random(160) < 0.2, np.roll(y, 1), y)
    families = [CodesCandidates(n_layers=0), FineTuningCandidates(strategies=["full"])]
    model = AutoTransferClassifier(families, backbones=network, image_size=24).fit(X, noisy)
    table = model.leaderboard_
    means = table[table["strategy"] == "ensemble"]
    assert len(means) >= 1
    assert means["score"].notna().all()
    assert means["n_rows"].isin(table.loc[table["candidate"] == "full", "n_rows"]).any()


def test_each_training_is_asked_on_one_fold_before_any_on_more(network, capsys):
    X, y = squares(160)
    noisy = np.where(np.random.default_rng(0).random(160) < 0.2, np.roll(y, 1), y)
    families = [CodesCandidates(n_layers=0), FineTuningCandidates(strategies=["full", "last"])]
    model = AutoTransferClassifier(families, backbones=network, image_size=24, verbose=True).fit(X, noisy)
    told = [line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert [name for name in told if name in ("full", "last")] == ["full", "last"] * 2
    table = model.leaderboard_.set_index("candidate")
    for name in ("full", "last"):
        n_rows, status = table.loc[name, ["n_rows", "status"]]
        assert (n_rows == 160) == (status in ("scored", "taken"))
        assert "no time" not in status  # there is no end


@pytest.mark.parametrize(
    ("seconds", "status"), [(None, "scored on 1 of 3 folds"), (4.0, "scored on 1 of 3 folds: no time")]
)
def test_want_of_time_is_said_only_where_time_is_wanting(seconds, status):
    owner = SimpleNamespace(cv=3, ensemble=True, refit=True)
    task = ClassTask(np.arange(60) % 2, None, 0, np.arange(2))
    search = Search(owner, material_of(28), task, [], None, TimeBudget(seconds), None)
    one = entry()
    search.entries = [one]
    rows = np.arange(60)
    folds = [(np.flatnonzero(rows % 3 != i), np.flatnonzero(rows % 3 == i)) for i in range(3)]

    def fold(entry, train, test):
        entry.costs.note(len(train), 3.0)
        return np.eye(2)[task.target[test]]

    search._fold = fold
    search._race(one, folds, 1, one)
    assert one.known.sum() == 20
    assert one.status == status


@pytest.mark.parametrize(("ensemble", "reserve", "with_another"), [(True, 9.0, 12.0), (False, 5.0, 7.0)])
def test_time_is_kept_for_the_fits_of_all_trainings_of_a_mean(ensemble, reserve, with_another):
    owner = SimpleNamespace(cv=3, ensemble=ensemble, refit=True)
    search = Search(owner, material_of(28), ClassTask(np.arange(60) % 2, None, 0, np.arange(2)), [], None, None, None)
    search.entries = [entry() for _ in range(4)]
    for one, seconds in zip(search.entries, (3.0, 4.0, 5.0)):
        one.outputs, one.known, one.n_rows = np.zeros((60, 2)), np.ones(60, dtype=bool), 60
        one.costs.note(60, seconds)
    assert search._reserve() == reserve
    assert search._reserve(search.entries[3], 7.0) == with_another
    search.entries[2].fitted = object()
    assert search._reserve() == (7.0 if ensemble else 4.0)
