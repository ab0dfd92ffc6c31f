import re
import warnings
import xml.etree.ElementTree as ElementTree
from html import unescape

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_html_repr

from sktl.adaptation import DomainAdaptedClassifier, GradualAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.aligners import CORALAligner
from sktl.displays._notebook import HEIGHT, MARGIN
from sktl.features import CNNCodesTransformer
from sktl.fewshot import FewShotClassifier, MAMLLearner, ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier


def rows_of(html):
    """Return the table below the diagram: names and texts, without drawings."""
    table = html.partition('<div class="sktl-learned">')[2]
    cells = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table)
    return {name: unescape(re.sub(r"<svg.*?</svg>", "", text)) for name, text in cells}


def drawn(html):
    """Return the heights of the training curve's points, 0 at the bottom."""
    svg = re.findall(r"<svg.*?</svg>", html.partition('<div class="sktl-learned">')[2])[-1]
    (line,) = [part for part in ElementTree.fromstring(svg) if part.get("class") == "sktl-train"]
    return np.array([HEIGHT - MARGIN - float(point.partition(",")[2]) for point in line.get("points").split()])


def test_fine_tuned(two_domains):
    X, y, _, _ = two_domains
    model = FineTunedClassifier(strategy="full", early_stopping=True, max_epochs=3, device="cpu", random_state=0)
    html = model.fit(X, y)._repr_html_()
    rows = rows_of(html)
    assert list(rows) == ["network", "trained", "device", "time", "losses", "classes"]
    assert rows["network"] == "auto: an MLP for rows"
    assert rows["trained"] == f"{model.n_trained_:,} of {model.n_parameters_:,} numbers (100.0%)"
    assert rows["device"] == "cpu"
    seconds = sum(row["dur"] for row in model.history_)
    assert rows["time"] == f"{model.n_iter_} epochs in {seconds:.3g} seconds; epoch {model.best_epoch_} is kept"
    last = model.history_[-1]
    assert rows["losses"] == f"training {last['train_loss']:.3g}, validation {last['valid_loss']:.3g}"
    assert rows["classes"] == "2: down, up"
    assert model._repr_mimebundle_()["text/html"].endswith(html.partition('<div class="sktl-learned">')[2])


def test_sparkline_has_the_losses_in_scale(two_domains):
    X, _, known, _ = two_domains
    model = DomainAdaptedClassifier(max_epochs=4, random_state=0).fit(X, known)
    losses = np.array([row["train_loss"] for row in model.history_])
    expected = (losses - losses.min()) / np.ptp(losses) * (HEIGHT - 2 * MARGIN)
    np.testing.assert_allclose(drawn(model._repr_html_()), expected, atol=0.06)


def test_domains_of_adaptation(two_domains):
    X, _, known, domain = two_domains
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, known, sample_domain=domain)
    assert rows_of(model._repr_html_())["domains"] == "source: day; target: night"
    assert model.domains_.tolist() == ["day", "night"]
    assert model.is_target_domain_.tolist() == [False, True]
    without = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, known)
    assert rows_of(without._repr_html_())["domains"] == "source: source; target: target"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no target
        source = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0).fit(X[:60], known[:60])
    assert source.domains_.tolist() == ["source"]
    adapted = SourceFreeAdaptedClassifier(source, max_epochs=2, random_state=0).fit(X[60:])
    rows = rows_of(adapted._repr_html_())
    assert rows["time"].startswith("2 epochs in ")
    assert rows["trained"].startswith(f"{adapted.n_trained_:,} of {adapted.n_parameters_:,} ")
    gradual = GradualAdaptedClassifier(source).fit(X[60:], np.full(60, -1), sample_domain=np.repeat([1, 2], 30))
    assert rows_of(gradual._repr_html_())["domains"] == "in this order: 1, 2"
    aligner = CORALAligner().fit(X, known)
    assert rows_of(aligner._repr_html_()) == {"domains": "source: source; target: target"}


def test_codes_and_few_shot(two_domains):
    X, y, _, _ = two_domains
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    codes = CNNCodesTransformer(image_size=32, device="cpu")
    assert rows_of(codes._repr_html_()) == {}
    rows = rows_of(codes.fit(pictures)._repr_html_())
    assert rows == {
        "network": "efficientnet_lite0",
        "trained": "nothing: the network stays as it is",
        "layers": "penultimate (1280 columns)",
        "device": "cpu",
    }
    few = rows_of(ProtoNetClassifier(image_size=32).fit(pictures, [0, 1, 0, 1])._repr_html_())
    assert few["network"] == "auto: efficientnet_lite0"
    assert few["classes"] == "2: 0, 1"
    assert rows_of(ProtoNetClassifier().fit(X, y)._repr_html_())["network"] == "auto: none, rows are codes"
    learner = MAMLLearner(n_way=2, n_shot=2, n_query=2, n_episodes=8, random_state=0)
    model = FewShotClassifier(learner).fit(X, y)
    rows = rows_of(model._repr_html_())
    assert rows["network"] == "auto: an MLP for rows"
    assert rows["trained"].startswith(f"{model.learner_.n_trained_:,} of ")
    assert rows["losses"].startswith("training ")


def test_names_are_text_and_never_markup(two_domains):
    X, _, known, domain = two_domains
    evil = "<script>alert('x')</script>"
    labels = np.where(known == "up", evil, known)
    names = np.where(domain == "day", evil, '"><img src=x onerror=alert(1)>')
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, labels, sample_domain=names)
    html = model._repr_html_()
    assert "<script>alert" not in html
    assert "<img" not in html
    assert evil in rows_of(html)["classes"]
    assert evil in rows_of(html)["domains"]


@pytest.mark.parametrize("model", [FineTunedClassifier(), DomainAdaptedClassifier(), CORALAligner(), MAMLLearner()])
def test_unfitted_is_scikit_learns_own(model):
    def plain(html):
        return re.sub(r"sk-[a-z-]*id-\d+", "id", html)

    assert plain(model._repr_html_()) == plain(estimator_html_repr(model))


def test_plain_text_and_setting_stay_scikit_learns(two_domains):
    X, y, _, _ = two_domains
    model = FineTunedClassifier(strategy="head", random_state=0).fit(X, y)
    assert repr(model) == "FineTunedClassifier(random_state=0, strategy='head')"
    rows = rows_of(model._repr_html_())
    assert "losses" not in rows
    assert "time" not in rows
    with config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
    assert "sktl-learned" not in LogisticRegression().fit(X, y)._repr_html_()


def test_what_cannot_be_found_out_is_left_out(two_domains):
    X, y, _, _ = two_domains
    model = FineTunedClassifier(strategy="full", max_epochs=1, random_state=0).fit(X, y)
    model.device = "cuda:99"
    model.history_ = [{"train_loss": np.nan}, {"train_loss": np.inf}]
    html = model._repr_html_()
    rows = rows_of(html)
    assert "device" not in rows
    assert html.startswith("<pre>FineTunedClassifier(device=&#x27;cuda:99&#x27;")
    assert rows["losses"] == ""
    assert rows["classes"] == "2: down, up"
