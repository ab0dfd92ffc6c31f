"""Fine-tuned estimators on pictures: scikit-learn's tools around them, devices, pickles, bad input."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktl.exceptions import BadImageError
from sktl.finetuning import STRATEGIES, FineTunedClassifier, FineTunedRegressor, LoRA
from sktl.finetuning import _batches as batches_module


def tiny(**params):
    """The embedded network on small pictures, for two updates."""
    return FineTunedClassifier(**{"image_size": 32, "max_steps": 2, "random_state": 0, **params})


@pytest.fixture(scope="module")
def few(ants_and_bees):
    paths, y = ants_and_bees
    return paths[:24], y[:24]


class TestOnRealPictures:
    def test_grid_search_over_strategies(self, few):
        grid = {"strategy": ["head", "last", "lp-ft"]}
        search = GridSearchCV(tiny(cache="memory"), grid, cv=2, error_score="raise").fit(*few)
        assert len(search.cv_results_["params"]) == 3
        assert set(search.predict(few[0])) <= {"ants", "bees"}

    def test_two_processes(self, few):
        assert cross_val_score(tiny(strategy="last"), *few, cv=2, n_jobs=2).shape == (2,)

    def test_head_learns_ants_and_bees(self, ants_and_bees):
        paths, y = ants_and_bees
        scores = cross_val_score(tiny(strategy="head", image_size=96), paths, y, cv=2)
        assert scores.mean() > 0.7

    def test_pipeline_of_images(self, few):
        paths, y = few
        opened = FunctionTransformer(lambda X: [Image.open(path).convert("RGB") for path in X])
        pipeline = make_pipeline(opened, tiny(strategy="head")).fit(paths, y)
        assert pipeline.score(paths, y) > 0.9

    def test_meta_estimators(self, few):
        model = tiny(strategy="head", cache="memory")
        for around in (
            CalibratedClassifierCV(model, cv=2),
            VotingClassifier([("penultimate", model), ("earlier", tiny(strategy="head", layer=0.5))], voting="soft"),
            StackingClassifier([("head", model), ("trained", tiny(strategy="last"))], LogisticRegression(), cv=2),
        ):
            proba = around.fit(*few).predict_proba(few[0])
            assert proba.shape == (24, 2)
            assert np.allclose(proba.sum(1), 1)

    def test_progress_shows_in_a_grid_search(self, few, capsys):
        pytest.importorskip("rich", reason="rich draws the progress bars that are tested")
        callback = pytest.importorskip("sklearn.callback", reason="callbacks are those of scikit-learn 1.9 and later")
        search = GridSearchCV(tiny(strategy="last"), {"max_steps": [1, 2]}, cv=2, refit=False)
        search.set_callbacks(callback.ProgressBar()).fit(*few)
        assert capsys.readouterr().out.count("FineTunedClassifier") >= 4

    def test_bad_files_are_named_at_once(self, few, tmp_path):
        paths, y = list(few[0]), few[1]
        for i in (3, 7):
            paths[i] = tmp_path / f"{i}.jpg"
            paths[i].write_bytes(b"no picture")
        for strategy in ("head", "full"):
            with pytest.raises(BadImageError) as caught:
                tiny(strategy=strategy).fit(paths, y)
            assert set(caught.value.failures) == {3, 7}


class TestStates:
    def test_head_pickles_in_kilobytes_and_loads_elsewhere(self, striped, tmp_path):
        X, y = striped
        model = tiny(strategy="head", backbone="efficientnet_lite0").fit(X, y)
        data = pickle.dumps(model)
        assert len(data) < 60_000
        (tmp_path / "model.pkl").write_bytes(data)
        np.save(tmp_path / "X.npy", X)
        code = (
            "import pickle, numpy as np;"
            "m = pickle.load(open('model.pkl', 'rb')); np.save('p.npy', m.predict_proba(np.load('X.npy')))"
        )
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        assert np.allclose(np.load(tmp_path / "p.npy"), model.predict_proba(X), atol=1e-6)

    @pytest.mark.parametrize("params", [{}, {"adapter": LoRA(rank=2)}, {"strategy": "scratch"}, {"strategy": "last"}])
    def test_pickles_predict_the_same(self, params, striped, small_network):
        X, y = striped
        model = tiny(backbone=small_network, max_steps=6, **params).fit(X, y)
        again = pickle.loads(pickle.dumps(model))
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
        assert all(tensor.device.type == "cpu" for tensor in model._learned.tensors.values())

    def test_company_and_threads_do_not_matter(self, striped):
        X, y = striped
        model = tiny(strategy="last", layer=0.7).fit(X, y)  # cut at a layer: the network is listened to
        expected = model.predict_proba(X)
        assert np.allclose(model.predict_proba(X[3:5]), expected[3:5], atol=1e-6)
        with ThreadPoolExecutor(3) as pool:
            assert all(np.array_equal(p, expected) for p in pool.map(model.predict_proba, [X] * 4))

    @pytest.mark.parametrize(
        "params", [{}, {"strategy": "scratch"}, {"augment": "crop_flip", "cutmix": 1.0, "mixup": 0.2}]
    )
    def test_random_state_fixes_everything(self, params, striped, small_network):
        X, y = striped
        a, b = (tiny(backbone=small_network, **params).fit(X, y).predict_proba(X) for _ in range(2))
        assert np.array_equal(a, b)

    def test_stream_trains_like_resident_pictures(self, striped, small_network, monkeypatch):
        X, y = striped
        options = {"backbone": small_network, "batch_size": 10, "max_epochs": 8, "max_steps": None}
        resident = tiny(**options).fit(X, y)
        monkeypatch.setattr(batches_module, "RESIDENT_BYTES", 0)
        streamed = tiny(**options).fit(X, y)
        assert streamed.n_iter_ == resident.n_iter_ == 8
        assert streamed.score(X, y) >= resident.score(X, y) - 0.1

    def test_caller_keeps_the_network(self, striped, small_network):
        before = {name: value.clone() for name, value in small_network.state_dict().items()}
        modes = [module.training for module in small_network.modules()]
        tiny(backbone=small_network, strategy="full").fit(*striped)
        assert all(torch.equal(value, before[name]) for name, value in small_network.state_dict().items())
        assert modes == [module.training for module in small_network.modules()]
        assert all(p.requires_grad for p in small_network.parameters())


class TestTraining:
    @pytest.mark.parametrize("strategy", list(STRATEGIES))
    def test_strategies_learn_stripes(self, strategy, striped, small_network):
        X, y = striped
        model = FineTunedClassifier(
            small_network, image_size=32, strategy=strategy, learning_rate=5e-3, max_epochs=20, freeze_bn=False,
            batch_size=20, random_state=0, augment=None,
        ).fit(X, y)  # fmt: skip
        assert model.score(X, y) > 0.8
        assert np.abs(model.predict_proba(X).sum(1) - 1).max() < 1e-6

    def test_augment(self, striped, small_network):
        X, y = striped
        seen = []

        def look(pictures, generator):
            seen.append((tuple(pictures.shape[1:]), generator.device.type))
            return pictures.float() / 2

        tiny(backbone=small_network, augment=look).fit(X, y)
        assert set(seen) == {((3, 32, 32), "cpu")}
        with pytest.raises(ValueError, match="augment"):
            tiny(augment="crops").fit(X, y)

    def test_early_stopping_holds_out(self, striped, small_network):
        model = tiny(backbone=small_network, early_stopping=True, max_steps=None, max_epochs=3).fit(*striped)
        assert {"valid_loss", "valid_accuracy"} <= set(model.history_[0])

    def test_partial_fit_and_warm_start_of_adapters(self, striped, small_network):
        X, y = striped
        model = tiny(backbone=small_network, adapter=LoRA(rank=2), warm_start=True).partial_fit(X, y).partial_fit(X, y)
        assert model.n_iter_ == 2
        assert len(model.fit(X, y)._learned.adapted) == 3

    def test_regression(self, striped, small_network):
        X, _ = striped
        X = (X * np.linspace(0.2, 1, 40)[:, None, None, None]).astype(np.uint8)
        light = np.c_[X.mean((1, 2, 3)), -X[:, :16].mean((1, 2, 3))]
        model = FineTunedRegressor(small_network, image_size=32, max_steps=20, random_state=0).fit(X, light)
        assert model.predict(X).shape == (40, 2)
        assert model.score(X, light) > 0.6
        assert (
            FineTunedRegressor(small_network, strategy="head", image_size=32).fit(X, light[:, 0]).predict(X).ndim == 1
        )


class TestBadInput:
    def test_rows_where_pictures_were_fitted(self, striped, small_network):
        model = tiny(backbone=small_network, strategy="head").fit(*striped)
        with pytest.raises(ValueError, match="was fitted on pictures, but X holds a 2-D array"):
            model.predict(striped[0].reshape(40, -1))

    def test_flattened_pictures(self, striped, small_network):
        X, y = striped
        model = tiny(backbone=small_network, strategy="head").fit(X.reshape(40, -1), y)
        assert model.n_features_in_ == 32 * 32 * 3
        assert (
            model.predict(X.reshape(40, -1)) == tiny(backbone=small_network, strategy="head").fit(X, y).predict(X)
        ).all()
        shaped = tiny(strategy="head", image_shape=(32, 32, 3)).fit(X.reshape(40, -1), y)
        assert shaped._learned.spec.backbone == "efficientnet_lite0"
        with pytest.raises(ValueError, match="was fitted on flattened pictures, but X holds pictures"):
            model.predict(X)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"backbone": "resnet999"}, "no backbone 'resnet999'"),
            ({"freeze_until": "nowhere"}, "no layer 'nowhere'"),
            ({"layer": "all"}, "layer must be one layer"),
            ({"device": "tpu"}, "device must be"),
        ],
    )
    def test_parameters_that_do_not_fit(self, params, message, striped):
        with pytest.raises(ValueError, match=message):
            tiny(**params).fit(*striped)

    def test_one_class(self, striped):
        with pytest.raises(ValueError, match="at least 2 classes"):
            tiny().fit(striped[0], ["same"] * 40)
