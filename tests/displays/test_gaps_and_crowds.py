"""What would be missing from a figure in silence, or could not be told apart in it."""

import itertools
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sktl.displays import (
    ConfidenceShiftDisplay,
    DomainShiftDisplay,
    DriftDisplay,
    EmbeddingDisplay,
    EpisodeDisplay,
    LayerAccuracyDisplay,
    PredictionsDisplay,
    TrainingCurveDisplay,
    TransferMapDisplay,
)
from sktl.features import CNNCodesTransformer
from tests.displays.artists import labels_of

NAMES = np.repeat(["day", "night"], 20)


def marked(line):
    """Return where a line has markers."""
    return np.flatnonzero(line.get_markevery()).tolist() if line.get_marker() != "None" else []


@pytest.mark.filterwarnings("error")
def test_values_without_neighbours_are_marked():
    """A line goes from value to value: one between two gaps would not be seen."""
    history = [{"train_loss": 1.0, **({"valid_loss": 2.0} if epoch in (1, 3, 4) else {})} for epoch in range(6)]
    display = TrainingCurveDisplay.from_history(history)
    assert marked(display.lines_["valid_loss"]) == [1]
    assert marked(display.lines_["train_loss"]) == []
    for accuracies, expected in (([0.5], [0]), ([0.5, np.nan, 0.6, 0.7], [0])):
        periods = np.arange(len(accuracies))
        drift = DriftDisplay(periods, {"never": np.array(accuracies)}, ("never",)).plot()
        assert marked(drift.lines_["never"]) == expected
        drift.figure_.canvas.draw()


@pytest.mark.filterwarnings("error")
def test_panels_below_one_another_have_one_axis():
    history = [{"train_loss": 1.0 if epoch < 3 else np.nan, "lr": 0.1, "train_accuracy": 0.5} for epoch in range(10)]
    display = TrainingCurveDisplay.from_history(history)
    limits = {panel.get_xlim() for panel in display.axes_.values()}
    assert len(limits) == 1
    assert limits.pop()[1] > 10
    drift = DriftDisplay(np.arange(4), {"a": np.array([np.nan, 0.5, 0.6, np.nan])}, (), np.zeros(4)).plot()
    assert len({panel.get_xlim() for panel in drift.axes_.values()}) == 1


@pytest.mark.filterwarnings("error")
def test_losses_that_are_not_finite_are_told():
    display = TrainingCurveDisplay.from_history([{"train_loss": np.nan, "valid_loss": None, "lr": [1, 2]}] * 3)
    display.figure_.canvas.draw()
    assert labels_of(display.axes_["loss"].get_legend()) == ["training loss: no finite value"]
    one = TrainingCurveDisplay.from_history([{"train_loss": 1.0, "lr": 0.1, 3: 4.0}], best_epoch=1)
    one.figure_.canvas.draw()
    inside = [tick for tick in one.axes_["learning rate"].get_xticks() if 0.5 < tick < 1.5]
    assert inside == [1.0]
    with pytest.raises(ValueError, match=r"best_epoch must be from 1 to 1, .* got 1\.5"):
        TrainingCurveDisplay.from_history([{"train_loss": 1.0}], best_epoch=1.5)


@pytest.mark.filterwarnings("error")
def test_many_parts_and_steps_leave_room_for_the_curves():
    history = [{"train_loss": 1.0, **{f"train_p{i}": i / 10 for i in range(25)}, "step": row // 2} for row in range(60)]
    display = TrainingCurveDisplay.from_history(history)
    display.figure_.canvas.draw()
    assert labels_of(display.axes_["loss"].get_legend())[-1] == "… and 15 more"
    assert [text.get_text() for text in display.axes_["loss"].texts] == [f"step {i}" for i in range(1, 30, 3)]
    assert display.axes_["loss"].get_legend().get_window_extent().height < display.axes_["loss"].bbox.height


def test_models_that_predict_alike_are_both_seen():
    same = np.array([0.5, 0.6])
    display = DriftDisplay(np.arange(2), {"a": same, "b": same, "control": same}, ("control",)).plot()
    assert display.lines_["a"].get_markersize() > display.lines_["b"].get_markersize()
    assert display.lines_["a"].get_linewidth() > display.lines_["b"].get_linewidth()


def test_domains_beyond_the_eighth_look_otherwise():
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(20), 6)
    codes = rng.normal(size=(120, 3))
    display = EmbeddingDisplay.from_codes(codes, sample_domain=domain)
    looks = {
        (tuple(points.get_facecolor()[0][:3]), points.get_paths()[0].vertices.tobytes())
        for points in display.scatters_.values()
    }
    assert len(looks) == 20
    proba = np.tile([0.7, 0.3], (120, 1))
    shares = ConfidenceShiftDisplay.from_predictions(None, proba, sample_domain=domain).histograms_.values()
    assert len({(part.get_edgecolor(), part.get_linestyle()) for part in shares}) == 20


@pytest.mark.filterwarnings("error")
def test_distances_of_many_domains_are_colours():
    codes = np.random.default_rng(0).normal(size=(48, 2))
    display = DomainShiftDisplay.from_codes(codes, np.repeat(np.arange(12), 4))
    assert not display.axes_[2].texts
    assert display.axes_[2].get_yticks().tolist() == list(range(12))
    assert len(DomainShiftDisplay.from_codes(codes, np.repeat(np.arange(3), 16)).axes_[2].texts) == 9


@pytest.mark.filterwarnings("error")
def test_a_map_of_many_sets_and_of_long_names():
    names = [f"{'a long name ' * 9}{i}" for i in range(30)]
    display = TransferMapDisplay(names, np.geomspace(10, 1e5, 30), np.linspace(0, 1, 30), ["fine-tune"] * 30).plot()
    display.figure_.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in display.texts_), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 6 for below, above in itertools.pairwise(boxes))
    (label,) = TransferMapDisplay(["x" * 300], np.array([10]), np.array([0.5]), ["fine-tune"]).plot().texts_
    assert label.get_ha() == "left"
    assert len(label.get_text().splitlines()[0]) == 30


def test_dates_are_read_as_dates():
    """NumPy makes bare counts of dates by the nanosecond, which are pandas' own before its third version."""
    dates = np.repeat(np.array(["2020-01-01", "2020-02-01"], dtype="datetime64[ns]"), 20)
    told = ["2020-01-01", "2020-02-01"]
    codes = np.random.default_rng(0).normal(size=(40, 3))
    shift = DomainShiftDisplay.from_codes(codes, dates)
    assert labels_of(shift.axes_[0].get_legend()) == told
    points = EmbeddingDisplay.from_codes(codes, dates, sample_domain=dates)
    assert labels_of(points.ax_.get_legend()) == told * 2
    assert labels_of(EpisodeDisplay.from_codes(codes, dates, codes, dates).ax_.get_legend())[:2] == told
    classes = np.unique(dates)
    shares = ConfidenceShiftDisplay.from_predictions(dates, np.tile([0.7, 0.3], (40, 1)), classes=classes)
    assert np.nansum(shares.accuracy) == 0.5  # was 0: dates were compared with counts
    pictures = np.zeros((2, 4, 4), dtype=np.uint8)
    drawn = PredictionsDisplay.from_predictions(pictures, dates[[0, 30]], dates[[0, 0]])
    assert [ax.get_title() for ax in drawn.axes_] == [
        "✗ 2020-01-01\ntrue: 2020-02-01",
        "✓ 2020-01-01\ntrue: 2020-01-01",
    ]
    hours = DriftDisplay(np.array(["2020-01-01T12"], dtype="datetime64[us]"), {"a": np.array([0.5])}).plot()
    assert hours.axes_["accuracy"].get_xticklabels()[0].get_text() == "2020-01-01 12:00:00"


@pytest.mark.filterwarnings("error")
def test_rows_that_are_the_same_and_rows_that_are_huge():
    with pytest.raises(ValueError, match="All 10 rows are the same"):
        EmbeddingDisplay.from_codes(np.ones((10, 3)), method="tsne")
    alone = EmbeddingDisplay.from_codes(np.ones((10, 3)))
    assert alone.ax_.get_legend() is None
    codes = np.random.default_rng(0).normal(size=(20, 3))
    small, huge = (EmbeddingDisplay.from_codes(codes * scale) for scale in (1.0, 1e200))
    assert huge.axis_names == small.axis_names


def test_what_is_no_number_is_refused_by_name():
    pictures = np.zeros((2, 4, 4), dtype=np.uint8)
    for wrong in (2.5, None, True, 0):
        with pytest.raises(ValueError, match="n_pictures must be a whole number, at least 1"):
            PredictionsDisplay.from_predictions(pictures, [0, 1], [0, 1], n_pictures=wrong)
        with pytest.raises(ValueError, match="max_rows must be a whole number, at least 1"):
            EmbeddingDisplay.from_codes(np.eye(4), max_rows=wrong)
    with pytest.raises(ValueError, match=r"y_proba must be finite; row 1 is not"):
        PredictionsDisplay.from_predictions(
            pictures, [0, 1], [0, 1], y_proba=[[1.0, 0.0], [np.nan, np.nan]], classes=[0, 1]
        )
    assert not plt.get_fignums()


def test_a_layer_by_its_name_alone():
    pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    codes = CNNCodesTransformer(image_size=32)
    display = LayerAccuracyDisplay.from_estimator(codes, pictures, [0, 1] * 4, layers="blocks.1", cv=2)
    assert display.names == ["blocks.1"]


class Untouched:
    """An estimator that must not be asked for anything."""

    classes_ = (0, 1)
    _estimator_type = "classifier"

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for before it was clear that anything can be drawn")


CALLS = [
    lambda ax: LayerAccuracyDisplay.from_estimator(Untouched(), [[1]], [0], ax=ax),
    lambda ax: PredictionsDisplay.from_estimator(Untouched(), [[1]], ax=ax),
    lambda ax: ConfidenceShiftDisplay.from_estimator(Untouched(), [[1]], ax=ax),
    lambda ax: EmbeddingDisplay.from_estimator(Untouched(), [[1]], ax=ax),
    lambda ax: DomainShiftDisplay.from_estimator(Untouched(), [[1]], ax=ax),
    lambda ax: EpisodeDisplay.from_estimator(Untouched(), [[1]], [0], [[1]], ax=ax),
    lambda ax: DriftDisplay.from_estimators({"a": Untouched()}, [[1]], [0], sample_domain=[0], ax=ax),
    lambda ax: TrainingCurveDisplay.from_history([{"train_loss": 1.0}], ax=ax),
]


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_computed_that_cannot_be_drawn(call, monkeypatch):
    with pytest.raises(TypeError, match="ax must be one Axes of matplotlib"):
        call(np.array([None, None]))
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=r"Display draws by matplotlib, which is not installed: pip install sktl\[plot"
    ):
        call(None)


@pytest.mark.parametrize("n", [3, 8, 9, 10])
def test_up_to_ten_classes_have_colours_that_are_told_apart(n):
    """Of digits, too: neighbours on one scale of ten shades are not."""
    codes = np.random.default_rng(0).normal(size=(2 * n, 3))
    points = EmbeddingDisplay.from_codes(codes, np.repeat(np.arange(n), 2)).scatters_.values()
    found = np.array([part.get_facecolor()[0][:3] for part in points])
    apart = np.linalg.norm(found[:, None] - found[None], axis=2)[~np.eye(n, dtype=bool)]
    assert apart.min() > 0.15
