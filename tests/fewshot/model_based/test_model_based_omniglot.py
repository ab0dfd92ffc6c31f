"""Reduced runs on real characters: far above chance, and above the learners before training."""

import numpy as np
import pytest
from sklearn.base import clone

from sktl.fewshot import FewShotClassifier, InContextLearner, MANNLearner
from sktl.model_selection import episode_scores

TASKS = {"n_way": 5, "n_shot": 1, "n_query": 5, "n_episodes": 150}
LEARNERS = {
    "MANN": (MANNLearner(n_query=3, meta_batch_size=8, n_episodes=2400), 0.6),
    "in context": (InContextLearner("conv4", n_query=3, n_episodes=800, meta_batch_size=4, width=64), 0.75),
}


@pytest.fixture(scope="module")
def characters(shared_data):
    """Pictures of 14 x 14 pixels and labels: of 1,028 characters to train on, of 60 new ones."""
    path = shared_data / "omniglot" / "omniglot_28.npz"
    if not path.exists():
        pytest.skip(f"the real characters are not at {path}; name the data's folder in SKTL_DATA")
    with np.load(path) as file:
        images, split = file["images"], file["vinyals_split"]
    small = images.reshape(*images.shape[:2], 14, 2, 14, 2).mean((3, 5)).astype(np.uint8)
    train, test = small[split == "train"], small[split == "test"][::7]
    return [(part.reshape(-1, 14, 14), np.repeat(np.arange(len(part)), 20)) for part in (train, test)]


@pytest.mark.parametrize("name", LEARNERS)
def test_a_little_meta_training_beats_pixels(name, characters):
    base, new = characters
    learner, least = LEARNERS[name]
    learner = clone(learner).set_params(rotations=True, random_state=0)
    untrained = episode_scores(clone(learner).set_params(n_episodes=1).fit(*base), *new, **TASKS)
    trained = episode_scores(learner.fit(*base), *new, **TASKS)
    X, y = new
    pixels = episode_scores(FewShotClassifier("nearest"), X.reshape(len(X), -1), y, **TASKS)
    assert trained.mean - trained.ci95 > max(untrained.mean, 0.2) + 0.1
    assert trained.mean - trained.ci95 > pixels.mean
    assert trained.mean > least
