"""CNN codes as a scikit-learn transformer, on real pictures and on made ones."""

import pickle
import subprocess
import sys
import threading

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl import CNNCodesTransformer
from sktl.backbones import load_backbone
from sktl.exceptions import BadImageError, WeightsError


def small(**params):
    return CNNCodesTransformer(**{"image_size": 64, "engine": "torch", **params})


def classifier():
    return LogisticRegression(max_iter=500, C=0.1)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (12, 40, 60, 3), dtype=np.uint8)


def close(a, b, tolerance=1e-5):
    return np.abs(a - b).max() <= tolerance * np.abs(b).max()


class TestOnRealPictures:
    def test_pipeline_from_paths_images_and_names(self, ants_and_bees):
        paths, y = ants_and_bees
        images = [Image.open(path) for path in paths]
        pipelines = [
            make_pipeline(small(image_size=128), StandardScaler(), classifier()).fit(X[:40], y[:40])
            for X in (paths, [str(p) for p in paths], images)
        ]
        predictions = [p.predict(X[40:]) for p, X in zip(pipelines, (paths, pd.Series(map(str, paths)), images))]
        assert all((found == predictions[0]).all() for found in predictions)
        assert (predictions[0] == y[40:]).mean() > 0.7

    def test_cross_validation_and_grid_search(self, ants_and_bees):
        paths, y = ants_and_bees
        assert cross_val_score(make_pipeline(small(image_size=96), classifier()), paths, y, cv=2).mean() > 0.65
        pipeline = make_pipeline(small(cache="memory"), StandardScaler(), classifier())
        grid = {
            "cnncodestransformer__layers": ["penultimate", "all", 0.5, ["blocks.2", "blocks.4"]],
            "cnncodestransformer__pooling": ["avg", "max"],
            "logisticregression__C": [0.01, 1],
        }
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(paths[:24], y[:24])
        assert len(search.cv_results_["params"]) == 16
        assert set(search.predict(paths[24:])) <= {"ants", "bees"}

    def test_codes_are_those_of_the_plain_network(self, ants_and_bees):
        """The peer: timm's network and torchvision's transforms, one picture at a time."""
        from torchvision.transforms import v2

        paths, _ = ants_and_bees
        backbone = load_backbone("efficientnet_lite0")
        with torch.random.fork_rng(devices=[]):
            peer = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
        peer.load_state_dict(backbone.module.state_dict())
        prepare = v2.Compose(
            [v2.PILToTensor(), v2.Resize(256, v2.InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(224),
             v2.ToDtype(torch.float32, scale=True), v2.Normalize([127 / 255] * 3, [128 / 255] * 3)]
        )  # fmt: skip
        with torch.no_grad():
            expected = [
                peer.forward_head(peer.forward_features(prepare(Image.open(p).convert("RGB"))[None]), pre_logits=True)[
                    0
                ]
                for p in paths[:8]
            ]
        codes = CNNCodesTransformer(engine="torch").fit_transform(paths[:8])
        assert close(codes, torch.stack(expected).numpy(), 1e-4)

    def test_one_picture_as_file_image_array_and_tensor(self, ants_and_bees):
        paths, _ = ants_and_bees
        for path in paths[:4]:
            image = Image.open(path).convert("RGB")
            array = np.asarray(image)
            inputs = [
                [path],
                [image],
                array[None],
                torch.from_numpy(array.transpose(2, 0, 1).copy())[None],
                array[None] / 255,
            ]
            codes = [small().transform(X) for X in inputs]
            assert all(close(found, codes[0]) for found in codes)


class TestContract:
    def test_batches_and_company_do_not_matter(self, pictures):
        codes = small().transform(pictures)
        assert np.array_equal(codes, small().transform(pictures))
        assert np.array_equal(codes[3:5], small().transform(pictures[3:5]))
        for batch_size in (1, 5, 12):
            assert close(small(batch_size=batch_size).transform(pictures), codes)
        assert codes.dtype == np.float32

    def test_threads_at_once_get_the_same_answer(self, pictures):
        transformer = small(layers="all").fit(pictures)
        expected, found = transformer.transform(pictures), []
        threads = [threading.Thread(target=lambda: found.append(transformer.transform(pictures))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert all(np.array_equal(codes, expected) for codes in found)

    def test_transform_changes_nothing(self, pictures):
        transformer = small().fit(pictures)
        before = pickle.dumps(transformer)
        transformer.transform(pictures)
        assert pickle.dumps(transformer) == before

    def test_no_weights_are_loaded_before_fit(self, monkeypatch):
        monkeypatch.setattr("sktl.features._cnn_codes.load_backbone", lambda *a, **k: pytest.fail("loaded"))
        clone(CNNCodesTransformer("resnet18").set_params(layers="all"))

    def test_layers_are_joined_in_order_and_named(self, pictures):
        transformer = small(layers=["blocks.2", "penultimate"]).fit(pictures)
        codes = transformer.transform(pictures)
        parts = [small(layers=layer).transform(pictures) for layer in ("blocks.2", "penultimate")]
        assert close(codes, np.concatenate(parts, axis=1), 1e-6)
        assert transformer.layer_slices_ == {"blocks.2": slice(0, 40), "penultimate": slice(40, 1320)}
        names = transformer.get_feature_names_out()
        assert len(names) == codes.shape[1] == 40 + 1280
        assert names[17] == "blocks.2_avg_17"
        assert names[-1] == "penultimate_1279"

    @pytest.mark.parametrize("pooling", ["max", "avgmax", "gem", "flatten", "pyramid"])
    def test_every_pooling_names_what_it_gives(self, pictures, pooling):
        transformer = small(pooling=pooling, layers="blocks.6" if pooling == "x" else "penultimate")
        assert transformer.fit_transform(pictures).shape[1] == len(transformer.get_feature_names_out())

    def test_data_frames_come_out_as_asked(self, pictures):
        transformer = small().fit(pictures)
        assert transformer.set_output(transform="pandas").transform(pictures).columns[5] == "penultimate_5"
        assert transformer.set_output(transform="polars").transform(pictures).columns[5] == "penultimate_5"

    def test_a_pickle_is_small_and_works_elsewhere(self, pictures, tmp_path):
        transformer = small().fit(pictures)
        stored = pickle.dumps(transformer)
        assert len(stored) < 5_000
        (tmp_path / "t.pkl").write_bytes(stored)
        np.save(tmp_path / "X.npy", pictures)
        script = """
import pickle, numpy as np
transformer = pickle.load(open("t.pkl", "rb"))
np.save("codes.npy", transformer.transform(np.load("X.npy")))
"""
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
        there, here = np.load(tmp_path / "codes.npy"), transformer.transform(pictures)
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-5 * np.abs(here).max())  # kernels may be others there

    def test_a_pickle_whose_weights_have_gone_says_so(self, pictures, tmp_path):
        with torch.random.fork_rng(devices=[]):
            path = tmp_path / "w.pth"
            torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), path)
            transformer = small(backbone="timm/mobilenetv3_small_050", weights=path).fit(pictures)
            transformer.transform(pictures[:1])
            torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), path)
        with pytest.raises(WeightsError, match=r"fitted with other values.*mobilenetv3_small_050"):
            transformer.transform(pictures)
        path.unlink()
        with pytest.raises(WeightsError, match=r"w\.pth.*no such file"):
            transformer.transform(pictures)

    def test_modules_are_shared_by_clones_and_pickled_whole(self, pictures):
        with torch.random.fork_rng(devices=[]):
            module = nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
            )
        transformer = small(backbone=module).fit(pictures)
        assert clone(transformer).backbone is module
        codes = transformer.transform(pictures)
        assert codes.shape == (12, 8)
        assert np.array_equal(pickle.loads(pickle.dumps(transformer)).transform(pictures), codes)
        with torch.no_grad():
            module[0].weight.add_(1)
        with pytest.raises(WeightsError, match="fit again"):
            transformer.transform(pictures)

    def test_blocks_come_one_by_one_and_hold_little(self, pictures):
        read = []

        def block(block_info=None):
            read.append(block_info)
            return pictures[:3]

        lazy = da.map_blocks(
            block, chunks=((3,) * 40, (40,), (60,), (3,)), dtype=np.uint8, meta=np.empty((0, 0, 0, 0), np.uint8)
        )
        blocks = small(batch_size=3, n_jobs=1).iter_transform(lazy, block_size=6)
        assert not read
        first = next(blocks)
        assert first.shape == (6, 1280)
        assert len(read) < 12
        assert [len(b) for b in blocks] == [6] * 19
        assert len(read) == 40
        assert close(first[:3], small().transform(pictures[:3]))
        with pytest.raises(ValueError, match="block_size"):
            small().iter_transform(pictures, block_size=0)

    def test_no_thread_outlives_the_call(self, ants_and_bees):
        paths, _ = ants_and_bees
        before = threading.active_count()
        blocks = small().iter_transform(paths, block_size=4)
        next(blocks)
        blocks.close()
        assert threading.active_count() == before


class TestRows:
    def test_handwritten_digits_with_values_up_to_16(self):
        X, y = load_digits(return_X_y=True)
        transformer = small(layers="all").fit(X[:200])
        assert transformer.value_range_ == (0.0, 16.0)
        assert transformer.n_features_in_ == 64
        images = np.rint(X[:200].reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
        assert close(transformer.transform(X[:200]), small(layers="all").transform(images))
        score = (
            make_pipeline(small(layers="all"), StandardScaler(), classifier())
            .fit(X[:200], y[:200])
            .score(X[200:400], y[200:400])
        )
        assert score > 0.85

    def test_image_shape_of_rows(self, pictures):
        rows = pictures.reshape(12, -1)
        codes = small(image_shape=(40, 60, 3)).fit_transform(rows)
        assert close(codes, small().transform(pictures))
        with pytest.raises(ValueError, match="7200"):
            small(image_shape=(10, 10)).fit(rows)

    def test_other_widths_are_refused(self):
        transformer = small().fit(np.random.default_rng(0).random((4, 25)))
        with pytest.raises(ValueError, match="36 features, but CNNCodesTransformer is expecting 25"):
            transformer.transform(np.zeros((2, 36)))


class TestBadInput:
    def test_a_truncated_file_among_a_thousand_is_named(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        paths = []
        for i in range(1000):
            paths.append(tmp_path / f"{i}.jpg")
            Image.fromarray(noise).save(paths[-1])
        for i in (617, 901):
            paths[i].write_bytes(paths[i].read_bytes()[:-200])
        for cache in (None, "memory"):
            with pytest.raises(BadImageError, match=r"617\.jpg") as caught:
                small(image_size=32, cache=cache).transform(paths)
            assert sorted(caught.value.failures) == [617, 901]
            assert "901.jpg" in str(caught.value)

    def test_missing_files_are_named_before_any_work(self, pictures, tmp_path, monkeypatch):
        monkeypatch.setattr("sktl._extraction.get_engine", lambda *a, **k: pytest.fail("the network ran"))
        with pytest.raises(BadImageError, match=r"gone\.jpg"):
            small().transform([tmp_path / "gone.jpg"])

    def test_floats_up_to_255_are_explained(self, pictures):
        with pytest.raises(ValueError, match="255"):
            small().fit(pictures.astype(float))

    @pytest.mark.parametrize(
        ("params", "error", "message"),
        [
            ({"layers": "layer4"}, ValueError, "no layer 'layer4'"),
            ({"layers": 2.0}, ValueError, "layers"),
            ({"pooling": "mean"}, ValueError, "pooling"),
            ({"pooling": "token"}, ValueError, "class token"),
            ({"backbone": "resnet81"}, ValueError, "Did you mean"),
            ({"image_size": (64, 64, 3)}, ValueError, "image_size"),
            ({"image_size": 0}, ValueError, "image_size"),
            ({"preprocessing": {"crop": 1}}, ValueError, "no field 'crop'"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
            ({"device": "tpu"}, ValueError, "device must be"),
            ({"engine": "tensorrt"}, ValueError, "engine"),
            ({"precision": "float16"}, ValueError, "not for CPUs"),
            ({"pyramid_levels": (0,), "pooling": "pyramid"}, ValueError, "pyramid_levels"),
        ],
    )
    def test_parameters_that_cannot_be(self, pictures, params, error, message):
        if "precision" in params and torch.cuda.is_available():
            params = {**params, "device": "cpu"}
        with pytest.raises(error, match=message):
            small(**params).fit(pictures).transform(pictures)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU has the device")
    def test_a_gpu_that_is_not_there(self, pictures):
        with pytest.raises(ValueError, match="finds no CUDA GPU"):
            small(device="cuda").fit(pictures)

    def test_bfloat16_only_where_the_cpu_has_it(self, pictures, monkeypatch):
        monkeypatch.setattr("sktl._device.cpu_has_bfloat16", lambda: False)
        with pytest.raises(ValueError, match="AVX512-BF16"):
            small(precision="bfloat16", device="cpu").fit(pictures)

    def test_preprocessing_is_replaced_by_field(self, pictures):
        from sktl import Preprocessing

        plain = small().transform(pictures)
        whole = small(preprocessing={"crop_pct": 1.0}).transform(pictures)
        assert not close(plain, whole, 1e-3)
        own = Preprocessing((64, 64), 1.0, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")
        assert np.array_equal(small(preprocessing=own).transform(pictures), whole)
