"""AutoGluon in a process of its own, by the Python of its own environment.

It reads a JSON file, ``{"kind": "rows" | "text" | "pictures", "train": [...], "labels": [...], "test": [...],
"test_labels": [...]}``, and prints ``{"accuracy": ..., "seconds": ..., "taken": ...}``. Rows and texts go to
`TabularPredictor`, texts as one column of text; pictures, as paths, to `MultiModalPredictor`. All is the default, but
for the time limit, which is that of `fit`, and, of pictures, for the network and its weights: the same of
EfficientNet-Lite0 that the other rows start from, since the default's are to be downloaded.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

NETWORK = "tf_efficientnet_lite0"
MEAN, STD = (0.498,) * 3, (0.502,) * 3  # of the weights


def backbone(folder, weights):
    """Return a folder from which `MultiModalPredictor` takes a network of timm with its weights."""
    import timm
    import torch

    body = timm.create_model(NETWORK, num_classes=0)
    names, kept = list(body.state_dict()), list(torch.load(weights, weights_only=True).values())
    Path(folder).mkdir()
    torch.save(dict(zip(names, kept[: len(names)])), f"{folder}/pytorch_model.bin")
    config = {"architecture": NETWORK, "num_features": body.num_features}
    config["pretrained_cfg"] = {"input_size": (3, 224, 224), "mean": MEAN, "std": STD}
    Path(folder, "config.json").write_text(json.dumps(config))
    return folder


def main():
    options = argparse.ArgumentParser()
    options.add_argument("problem")
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--weights", help="of pictures' network")
    options.add_argument("--threads", type=int, help="torch's, with pictures")
    options = options.parse_args()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        import pandas as pd

        with open(options.problem) as file:
            given = json.load(file)
        columns = ["image"] if given["kind"] == "pictures" else ["text"] if given["kind"] == "text" else None
        train, test = (pd.DataFrame(given[part], columns=columns) for part in ("train", "test"))
        train["label"], test["label"] = given["labels"], given["test_labels"]
        more, found = {}, {}
        if given["kind"] == "pictures":
            import torch
            from autogluon.multimodal import MultiModalPredictor, __version__
            from lightning.pytorch import Trainer

            def fit(trainer, *args, _fit=Trainer.fit, **kwargs):
                _fit(trainer, *args, **kwargs)
                found["steps"] = trainer.global_step

            Trainer.fit = fit
            torch.set_num_threads(options.threads)
            network = backbone(f"{folder}/backbone", options.weights)
            more["hyperparameters"] = {"model.names": ["timm_image"], "model.timm_image.checkpoint_name": network}
            predictor = MultiModalPredictor(label="label", eval_metric="accuracy", path=f"{folder}/model", verbosity=0)
        else:
            from autogluon.tabular import TabularPredictor, __version__

            predictor = TabularPredictor(label="label", eval_metric="accuracy", path=f"{folder}/model", verbosity=0)
        start = time.monotonic()
        predictor.fit(train, time_limit=options.seconds, **more)
        seconds = time.monotonic() - start
        right = predictor.predict(test.drop(columns="label")).to_numpy() == test["label"].to_numpy()
        found |= {"accuracy": round(float(right.mean()), 4), "seconds": round(seconds, 1), "autogluon": __version__}
        if hasattr(predictor, "model_best"):
            found["taken"] = predictor.model_best
            found["models"] = len(predictor.model_names())
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
