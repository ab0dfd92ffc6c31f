"""AutoGluon in a process of its own, by the Python of its own environment.

It reads a JSON file, ``{"kind": "rows" | "text" | "pictures", "train": [...], "labels": [...], "test": [...],
"test_labels": [...]}``, and prints ``{"accuracy": ..., "seconds": ..., "taken": ...}``. Rows and texts go to
`TabularPredictor`, texts as one column of text; pictures, as paths, to `MultiModalPredictor`. All is the default, but
for the time limit, which is that of `fit`.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
import warnings

warnings.simplefilter("ignore")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("problem")
    options.add_argument("--seconds", type=float, required=True)
    options = options.parse_args()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        import pandas as pd

        with open(options.problem) as file:
            given = json.load(file)
        columns = ["image"] if given["kind"] == "pictures" else ["text"] if given["kind"] == "text" else None
        train, test = (pd.DataFrame(given[part], columns=columns) for part in ("train", "test"))
        train["label"], test["label"] = given["labels"], given["test_labels"]
        if given["kind"] == "pictures":
            from autogluon.multimodal import MultiModalPredictor, __version__

            predictor = MultiModalPredictor(label="label", eval_metric="accuracy", path=f"{folder}/model", verbosity=0)
        else:
            from autogluon.tabular import TabularPredictor, __version__

            predictor = TabularPredictor(label="label", eval_metric="accuracy", path=f"{folder}/model", verbosity=0)
        start = time.monotonic()
        predictor.fit(train, time_limit=options.seconds)
        seconds = time.monotonic() - start
        right = predictor.predict(test.drop(columns="label")).to_numpy() == test["label"].to_numpy()
        found = {"accuracy": round(float(right.mean()), 4), "seconds": round(seconds, 1), "autogluon": __version__}
        if hasattr(predictor, "model_best"):
            found["taken"] = predictor.model_best
            found["models"] = len(predictor.model_names())
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
