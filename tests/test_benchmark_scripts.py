"""Scripts whose runs take other machines, or long, work where they are small."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def run(script, *options):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_rows_for_a_gpu_run_on_a_cpu_and_resume(tmp_path):
    pytest.importorskip("psutil", reason="the scripts read memory by psutil, an optional package")
    path = tmp_path / "found.json"
    options = ["--device", "cpu", "--quick", "--output", path]
    shown = run("on_gpu.py", *options)
    found = json.loads(path.read_text())["results"]
    assert len(found) == 7
    for name, row in found.items():
        assert row["status"] == "done" or row["status"].startswith("left out: This benchmark needs"), (name, row)
        assert name in shown
    assert found["extraction, resnet18"]["limits"]["by_matmul"] > 0
    assert found["adaptation, MLP"]["status"] == "done"
    done = sum(row["status"] == "done" for row in found.values())
    assert done >= 4
    path.write_text(json.dumps({"results": {name: {**row, "status": "done"} for name, row in found.items()}}))
    assert "done" not in run("on_gpu.py", *options, "--resume").split("| row |")[0]


def test_memory_is_measured_in_processes_of_their_own(tmp_path):
    pytest.importorskip("psutil", reason="the scripts read memory by psutil, an optional package")
    path = tmp_path / "found.json"
    run("memory.py", "--quick", "--output", path, "--families", "CORALAligner")
    found = json.loads(path.read_text())["results"]["CORALAligner"]
    assert set(found) == {"200", "2000"}
    assert all(cell["then"] >= 0 and "error" not in cell for cell in found.values())


def test_what_tests_reach_is_read_from_one_run(tmp_path):
    def summary(statements, covered, branches=0, covered_branches=0):
        return {
            "summary": {
                "num_statements": statements,
                "covered_lines": covered,
                "num_branches": branches,
                "covered_branches": covered_branches,
            }
        }

    files = {
        "sktl/_device.py": summary(10, 10),
        "sktl/images/_read.py": summary(30, 15, 10, 5),
        "sktl/images/_grey.py": summary(50, 50, 10, 10),
    }
    (tmp_path / "coverage.json").write_text(json.dumps({"files": files}))
    run("reached_by_tests.py", "--from", tmp_path / "coverage.json", "--output", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert found["percent"] == round(100 * 90 / 110, 1)
    assert found["n_lines"] == 90
    assert found["folders"] == {"sktl": 100.0, "images": 80.0}
    assert list(found["least"].items()) == [("sktl/images/_read.py", 50.0), ("sktl/images/_grey.py", 100.0)]


def test_features_of_few_texts_are_compared_on_the_same_rows(tmp_path, shared_data):
    path = tmp_path / "found.json"
    run("words_and_letters.py", "--quick", "--output", path)
    found = json.loads(path.read_text())["results"]
    assert list(found["cases"]) == ["opinions of titles, 10 a class, draw 1"]
    assert list(found["summary"]) == ["words", "pairs of words", "letters", "all three"]
    (case,) = found["cases"].values()
    for name, one in found["summary"].items():
        assert one["accuracy"] == pytest.approx(100 * case[name]["accuracy"])
        assert one["gain"] == pytest.approx(100 * (case[name]["accuracy"] - case["words"]["accuracy"]), abs=0.01)


def test_means_of_models_of_rows_are_compared_on_the_same_rows(tmp_path):
    path = tmp_path / "found.json"
    run("linear_and_forest.py", "--quick", "--output", path)
    (case,) = json.loads(path.read_text())["results"].values()
    assert list(case) == ["linear", "forest", "SVM", "linear + forest", "linear + SVM", "linear + SVM + forest"]
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train = np.concatenate([order[y[order] == label][:8] for label in range(3)])
    test = np.setdiff1d(order, train)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X[train], y[train])
    assert case["linear"] == pytest.approx(
        [linear.score(X[test], y[test]), log_loss(y[test], linear.predict_proba(X[test]))], abs=1e-3
    )


def test_rules_of_the_ensemble_are_compared_on_the_same_fits(tmp_path):
    path = tmp_path / "found.json"
    run("forests_on_rows.py", "--quick", "--output", path)
    (case, *_) = json.loads(path.read_text())["results"].values()
    assert next(iter(case["contenders"])) == "now"
    assert "forest" not in case["contenders"]["no forest, beyond noise"][2]


DRAWN = """
import hashlib, json, sys
import auto_transfer_held_out, training_means

def name_of(x):
    return str(x) if not hasattr(x, "tobytes") else hashlib.sha256(x.tobytes()).hexdigest()

def rows(drawn):
    X, y, others, z = drawn
    assert len(X) == len(y) and len(others) == len(z) <= 200
    train, test = (sorted({name_of(x) for x in of}) for of in (X, others))
    return {"train": train, "test": test, "n_train": len(y), "n_test": len(z)}

found = {name: rows(auto_transfer_held_out.load(name)) for name in sys.argv[1:4]}
found["photo, 1"] = rows(training_means.load("photo, 1"))
found["seen"] = [*training_means.DRAWS]
print(json.dumps(found))
"""


def test_held_out_draws_are_others_than_those_that_rules_were_chosen_by(shared_data):
    names = ["photographs", "cartoons", "which alphabet"]
    command = [sys.executable, "-c", DRAWN, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=BENCHMARKS)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for name in names:
        assert not set(found[name]["train"]) & set(found[name]["test"]), name
        assert len(found[name]["train"]) == found[name]["n_train"]
    own, seen = found["photographs"], found["photo, 1"]
    shared = set(own["train"]) & set(seen["train"])
    assert len(shared) < 0.3 * len(own["train"])  # 20 of up to 150 a class
    assert not any(draw.startswith(("cartoon", "hymenoptera")) for draw in found["seen"])


def test_means_of_trainings_are_means_of_probabilities():
    code = (
        "import json, numpy as np, training_means as t\n"
        "rng = np.random.default_rng(0); three = [rng.dirichlet(np.ones(3), 50) for _ in range(3)]\n"
        "z = np.array(list('abc'))[rng.integers(0, 3, 50)]\n"
        "print(json.dumps([[one.tolist() for one in three], z.tolist(), t.of_probabilities(three, np.unique(z), z)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=BENCHMARKS)
    assert done.returncode == 0, done.stderr[-2000:]
    three, z, found = json.loads(done.stdout)
    codes, lp_ft, full = map(np.array, three)
    for name, mean in (("codes", codes), ("2:1:1", (2 * codes + lp_ft + full) / 4), ("2:0:1", (2 * codes + full) / 3)):
        accuracy = np.mean(np.array(list("abc"))[mean.argmax(1)] == z)
        assert found[name] == pytest.approx([accuracy, log_loss(z, mean)], abs=1e-3)
