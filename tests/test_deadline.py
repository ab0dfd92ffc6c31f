"""A deadline ends what is long, step by step, in its own thread and block alone."""

import threading

import numpy as np
import pytest

from sktl._deadline import OutOfTimeError, check_deadline, deadline
from sktl._preprocessing import Preprocessing
from sktl.finetuning import FineTunedClassifier
from sktl.images import as_pictures, iter_batches


class Clock:
    def __init__(self, *steps):
        self.steps = list(steps)
        self.seconds = 0.0

    def __call__(self):
        self.seconds += self.steps.pop(0) if self.steps else 0.0
        return self.seconds


def test_the_next_step_has_to_fit():
    clock = Clock(0, 1, 1, 1)
    with deadline(3.5, clock):
        check_deadline()
        check_deadline()
        with pytest.raises(OutOfTimeError):
            check_deadline()  # 3 s are over, and the next step would end at 4
    check_deadline()


def test_an_inner_block_may_have_no_end():
    with deadline(0, Clock()), deadline(None):
        check_deadline()


def test_other_threads_have_their_own():
    errors = []
    with deadline(-1.0):
        thread = threading.Thread(target=lambda: errors.append(check_deadline()))
        thread.start()
        thread.join()
        with pytest.raises(OutOfTimeError):
            check_deadline()
    assert errors == [None]


def test_pictures_and_trainings_end():
    X = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    with deadline(-1.0), pytest.raises(OutOfTimeError):
        list(iter_batches(as_pictures(X), Preprocessing((32, 32)), batch_size=4))
    model = FineTunedClassifier(strategy="scratch")
    with deadline(-1.0), pytest.raises(OutOfTimeError):
        model.fit(X.reshape(20, -1)[:, :5].astype(float), np.arange(20) % 2)
    assert not hasattr(model, "n_iter_")
    model.fit(X.reshape(20, -1)[:, :5].astype(float), np.arange(20) % 2)
