import importlib.util

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.aligners import CORALAligner
from sktl.displays import EmbeddingDisplay
from sktl.features import CNNCodesTransformer
from sktl.fewshot import ProtoNetLearner
from sktl.finetuning import FineTunedClassifier
from tests.displays.artists import labels_of


def components(codes):
    """Return the first two principal components, up to their signs."""
    centred = codes - codes.mean(0)
    return np.abs(centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T)


def drawn(display, title):
    """Return the points of a panel in the order of rows."""
    out = np.full((len(display.rows), 2), np.nan)
    for (panel, label, domain), scatter in display.scatters_.items():
        if panel == title:
            is_class = display.class_of_row == (-1 if label is None else list(display.classes).index(label))
            rows = is_class & (display.domain_of_row == list(display.domains).index(domain))
            out[rows] = scatter.get_offsets()
    return out


def test_adapted_features_by_class_and_domain(two_domains):
    X, _, known, domain = two_domains
    model = DomainAdaptedClassifier(max_epochs=2, random_state=0).fit(X, known)
    display = EmbeddingDisplay.from_estimator(model, X, known, sample_domain=domain, before="input")
    assert list(display.points) == ["before", "after"]
    np.testing.assert_allclose(np.abs(drawn(display, "before")), components(X), atol=1e-8)
    np.testing.assert_allclose(np.abs(drawn(display, "after")), components(model.features(X)), atol=1e-8)
    assert {key[1:] for key in display.scatters_} == {(None, "night"), ("up", "day"), ("down", "day")}
    assert labels_of(display.axes_[1].get_legend()) == ["down", "up", "no label", "day", "night"]
    assert [ax.get_title() for ax in display.axes_] == ["before", "after"]
    assert plt.get_fignums() == [display.figure_.number]


def test_fine_tuned_network_shows_what_enters_its_head(two_domains):
    X, y, _, _ = two_domains
    model = FineTunedClassifier(strategy="full", max_epochs=2, random_state=0).fit(X, y)
    display = EmbeddingDisplay.from_estimator(model, X, y)
    points = display.points["codes"]
    head = model._learned.trainable().head
    from sktl.displays._codes import codes_of

    codes = codes_of(model, X, "test")
    logits = codes @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    np.testing.assert_allclose(logits, model._outputs(X), atol=1e-4)
    np.testing.assert_allclose(np.abs(points), components(codes), atol=1e-6)
    assert labels_of(display.ax_.get_legend()) == ["down", "up"]


def test_aligner_maps_each_domain_its_own_way(two_domains):
    X, _, known, domain = two_domains
    aligner = CORALAligner(target_domain="night").fit(X, known, sample_domain=domain)
    display = EmbeddingDisplay.from_estimator(aligner, X, known, sample_domain=domain)
    codes = aligner.transform(X, sample_domain=domain)
    np.testing.assert_allclose(np.abs(drawn(display, "codes")), components(codes), atol=1e-6)


def test_pipelines_searches_learners_and_wrapped_classifiers(two_domains):
    X, y, known, _ = two_domains
    rng = np.random.default_rng(0)
    learner = ProtoNetLearner(n_way=2, n_shot=2, n_query=2, n_episodes=4, random_state=0).fit(
        X, rng.integers(0, 6, 120)
    )
    expected = components(learner.transform(X))
    np.testing.assert_allclose(np.abs(EmbeddingDisplay.from_estimator(learner, X).points["codes"]), expected, atol=1e-5)

    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2).fit(X, y)
    scaled = (X - X.mean(0)) / X.std(0)
    display = EmbeddingDisplay.from_estimator(search, X, y)
    np.testing.assert_allclose(np.abs(display.points["codes"]), components(scaled), atol=1e-8)

    source = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0).fit(X[:60], y[:60])
    adapted = SourceFreeAdaptedClassifier(source, max_epochs=1, random_state=0).fit(X[60:])
    display = EmbeddingDisplay.from_estimator(adapted, X, known, before=source)
    expected = components(adapted.estimator_.features(X))
    np.testing.assert_allclose(np.abs(drawn(display, "after")), expected, atol=1e-8)
    assert display.domains.tolist() == ["source", "target"]


def test_pictures():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    codes = CNNCodesTransformer(image_size=32, engine="torch")
    display = EmbeddingDisplay.from_estimator(codes, list(X), [0, 1] * 3)
    np.testing.assert_allclose(np.abs(drawn(display, "codes")), components(codes.transform(X).astype(float)), atol=1e-3)


def test_rows_are_drawn_by_domain_and_stay_themselves():
    codes = np.random.default_rng(0).normal(size=(300, 5))
    domain = np.repeat(["big", "small"], [270, 30])
    display = EmbeddingDisplay.from_codes(codes, sample_domain=domain, max_rows=50)
    assert len(display.rows) == 50
    assert np.bincount(display.domain_of_row).tolist() == [45, 5]
    np.testing.assert_allclose(np.abs(display.points["codes"]), components(codes[display.rows]), atol=1e-8)
    assert labels_of(display.ax_.get_legend()) == ["big", "small"]
    colours = {tuple(scatter.get_facecolor()[0]) for scatter in display.scatters_.values()}
    assert len(colours) == 2  # without classes the domains have colours


def test_tsne_keeps_neighbours():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(size=(20, 6)), rng.normal(size=(20, 6)) + 30])
    points = EmbeddingDisplay.from_codes(codes, method="tsne").points["codes"]
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(40, np.inf))
    assert ((distance.argmin(1) < 20) == (np.arange(40) < 20)).all()
    again = EmbeddingDisplay.from_codes(codes, method="tsne").points["codes"]
    np.testing.assert_array_equal(points, again)


def test_umap_says_what_it_needs():
    if importlib.util.find_spec("umap") is not None:
        pytest.skip("umap-learn is installed")
    with pytest.raises(ImportError, match="pip install umap-learn, or take method='tsne'"):
        EmbeddingDisplay.from_codes(np.eye(5), method="umap")


def test_many_classes_have_a_short_legend():
    y = [f"class {i:02d}" for i in range(30)] * 2
    display = EmbeddingDisplay.from_codes(np.random.default_rng(0).normal(size=(60, 3)), y)
    labels = labels_of(display.ax_.get_legend())
    assert len(labels) == 12
    assert labels[-1] == "… and 19 more"
    assert len(display.scatters_) == 30


def test_names_are_shown_as_they_are():
    display = EmbeddingDisplay.from_codes(np.eye(6), ["$x$", "_hidden", "<b>"] * 2)
    assert labels_of(display.ax_.get_legend()) == [
        r"\$x\$",
        "<b>",
        " _hidden",
    ]  # bare, some leave it out


def test_given_axes_are_divided():
    figure, (left, right) = plt.subplots(1, 2)
    codes = np.random.default_rng(0).normal(size=(10, 3))
    display = EmbeddingDisplay.from_codes(codes, before=codes * 2, ax=left)
    assert display.ax_ is left
    assert display.figure_ is figure
    assert len(plt.get_fignums()) == 1
    assert all(ax.get_position().x1 < right.get_position().x0 for ax in display.axes_)
    free = plt.figure().add_axes((0.1, 0.1, 0.5, 0.5))
    assert len(display.plot(free).axes_) == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "mds"}, ValueError, "method must be one of 'pca', 'tsne', 'umap'; got 'mds'"),
        ({"y": [0, 1]}, ValueError, "y must have one entry a row: expected 6, got 2"),
        ({"sample_domain": ["a"] * 5}, ValueError, "sample_domain must have one entry a row: expected 6, got 5"),
        ({"before": np.eye(5)}, ValueError, "before must have one row of codes for each of the 6 rows; got 5"),
        ({"before": "after"}, ValueError, "before must be 'input', a fitted estimator, or codes"),
        ({"codes": np.full((6, 2), np.nan)}, ValueError, "NaN or infinite, in 6 rows, first 0"),
        ({"codes": ["a", "b", "c"]}, TypeError, "codes as numbers of shape"),
        ({"codes": np.eye(2)}, ValueError, "at least 3 rows; got 2"),
        ({"max_rows": 0}, ValueError, "max_rows must be a whole number, at least 1; got 0"),
    ],
)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        EmbeddingDisplay.from_codes(**({"codes": np.eye(6)} | change))
    assert not plt.get_fignums()


def test_no_codes_at_all():
    classifier = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(TypeError, match="Put CNNCodesTransformer before it in a pipeline"):
        EmbeddingDisplay.from_estimator(classifier, ["a.png", "b.png", "c.png", "d.png"])
