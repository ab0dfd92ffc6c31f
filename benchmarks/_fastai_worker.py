"""fastai's `fine_tune` in a process of its own, by the Python of its own environment.

It reads a JSON file, ``{"files": [...], "labels": [...], "test_files": [...], "test_labels": [...]}``, and prints
``{"accuracy": ..., "seconds": ..., "epochs": ...}``. All is fastai's default (`Resize`, to 224 pixels, `fine_tune` with
its rates and its head), but for batches of 16, since the sets are small, and the weights: those of EfficientNet-Lite0
that the other rows start from. How many epochs fit into the time is told by two steps before, which are not counted;
training ends with the batch in which the time is over. With ``--epochs`` that many are trained instead.
"""

import argparse
import contextlib
import json
import sys
import time
import warnings

warnings.simplefilter("ignore")

MEAN, STD = (0.498,) * 3, (0.502,) * 3  # of the weights


def main():
    options = argparse.ArgumentParser()
    options.add_argument("problem")
    options.add_argument("--weights", required=True)
    options.add_argument("--seconds", type=float, default=1e6, help="training ends then")
    options.add_argument("--epochs", type=int, help="instead of as many as fit into the time")
    options.add_argument("--size", type=int, default=224, help="pixels")
    options.add_argument("--threads", type=int, required=True)
    options = options.parse_args()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import fastai
        import numpy as np
        import torch
        from fastai.vision.all import (
            Callback,
            CancelFitException,
            CategoryBlock,
            DataBlock,
            ImageBlock,
            IndexSplitter,
            Normalize,
            Resize,
            set_seed,
            vision_learner,
        )

        torch.set_num_threads(options.threads)
        with open(options.problem) as file:
            given = json.load(file)

        class EndsAfter(Callback):
            def __init__(self, end):
                self.end = end

            def after_batch(self):
                if time.monotonic() > self.end:
                    raise CancelFitException

        def learner():
            set_seed(0)
            block = DataBlock(
                (ImageBlock, CategoryBlock), get_y=dict(zip(given["files"], given["labels"])).get,
                splitter=IndexSplitter([0]), item_tfms=Resize(options.size), batch_tfms=Normalize.from_stats(MEAN, STD),
            )  # fmt: skip
            dls = block.dataloaders(given["files"], bs=16, num_workers=0)
            found = vision_learner(dls, "tf_efficientnet_lite0", pretrained=False)
            body = found.model[0].model
            kept = torch.load(options.weights, weights_only=True)
            body.load_state_dict(dict(zip(body.state_dict(), list(kept.values())[: len(body.state_dict())])))
            return found

        def fitting_epochs():
            trial = learner()
            seconds = {}
            for name in ("freeze", "unfreeze"):
                getattr(trial, name)()
                trial.create_opt()
                times = []
                for batch in [trial.dls.one_batch() for _ in range(2)]:
                    start = time.monotonic()
                    loss = trial.loss_func(trial.model(batch[0]), batch[1])
                    loss.backward()
                    times.append(time.monotonic() - start)
                seconds[name] = times[-1] * len(trial.dls.train)
            return max(1, int((options.seconds - seconds["freeze"]) / seconds["unfreeze"]))

        epochs = options.epochs or fitting_epochs()
        start = time.monotonic()
        model = learner()
        with model.no_bar(), model.no_logging():
            model.fine_tune(epochs, cbs=EndsAfter(start + options.seconds))
            taken = time.monotonic() - start
            asked = model.dls.test_dl(given["test_files"], num_workers=0)
            proba = np.asarray(model.get_preds(dl=asked)[0])
        classes = np.asarray(model.dls.vocab)
        right = classes[proba.argmax(1)].astype(str) == np.asarray(given["test_labels"]).astype(str)
    found = {"accuracy": round(float(right.mean()), 4), "seconds": round(taken, 1), "epochs": epochs}
    print(json.dumps(found | {"fastai": fastai.__version__, "torch": torch.__version__}), file=answers, flush=True)


if __name__ == "__main__":
    main()
