"""Runs thingsvision in a process of its own, by the Python of its own environment: it needs an older torch.

It reads one JSON object a line, ``{"run": n}`` or ``{"run": n, "save": path}``, extracts the codes of the first n
pictures, and answers ``{"seconds": ...}``. The time is taken here, so that it holds nothing of the conversation.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time
import warnings

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")

MODULES = {"mobilenet_v2": "classifier.0", "resnet18": "avgpool", "tf_efficientnet_lite0": "global_pool"}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--source", required=True)
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--pictures", required=True, help="an .npy file of uint8 pictures, or a text file of paths")
    options.add_argument("--mean", type=float, nargs=3, required=True)
    options.add_argument("--std", type=float, nargs=3, required=True)
    options.add_argument("--scaled", type=int, required=True, help="shorter side of a file's picture before the crop")
    options.add_argument("--interpolation", required=True)
    options.add_argument("--batch-size", type=int, default=32)
    options = options.parse_args()

    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import numpy as np
        import torch
        from thingsvision import get_extractor
        from thingsvision.utils.data import DataLoader, ImageDataset
        from torchvision import transforms

        extractor = get_extractor(
            model_name=options.model, source=options.source, device="cpu", pretrained=False, model_parameters={}
        )
        extractor.model.load_state_dict(torch.load(options.weights))
        module = MODULES[options.model]
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (options.mean, options.std))
        preprocess = transforms.Compose(
            [
                transforms.Resize(options.scaled, transforms.InterpolationMode(options.interpolation)),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize(options.mean, options.std),
            ]
        )
        if options.pictures.endswith(".npy"):
            pictures = np.load(options.pictures)

            def batches(n):
                return [
                    (torch.from_numpy(pictures[i : min(n, i + options.batch_size)]).permute(0, 3, 1, 2) / 255 - mean)
                    / std
                    for i in range(0, n, options.batch_size)
                ]
        else:
            with open(options.pictures) as file:
                paths = file.read().splitlines()

            def batches(n):
                dataset = ImageDataset(
                    root=folders[n], out_path=tempfile.gettempdir(), backend="pt", transforms=preprocess
                )
                return DataLoader(dataset=dataset, batch_size=options.batch_size, backend="pt")

        folders = {}
        with tempfile.TemporaryDirectory() as root:
            print(json.dumps({"ready": True, **versions()}), file=answers, flush=True)
            for line in sys.stdin:
                request = json.loads(line)
                n = request["run"]
                if not options.pictures.endswith(".npy") and n not in folders:
                    folders[n] = os.path.join(root, str(n))
                    os.mkdir(folders[n])
                    for i, path in enumerate(paths[:n]):
                        os.symlink(path, os.path.join(folders[n], f"{i:06d}.jpg"))
                start = time.perf_counter()
                codes = extractor.extract_features(
                    batches=batches(n), module_name=module, flatten_acts=True, output_type="ndarray"
                )
                seconds = time.perf_counter() - start
                if "save" in request:
                    np.save(request["save"], codes)
                print(json.dumps({"seconds": seconds}), file=answers, flush=True)


def versions():
    return {name: importlib.metadata.version(name) for name in ("thingsvision", "torch", "torchvision", "timm")}


if __name__ == "__main__":
    main()
