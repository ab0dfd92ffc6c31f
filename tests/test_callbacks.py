"""What stands in for scikit-learn's callbacks where it has none has all that the library asks of them."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import sktl._callbacks as used

SKTL = Path(used.__file__).parent


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("stand_in", used.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_fit_tells_nobody(stand_in):
    class Estimator(stand_in.CallbackSupportMixin):
        @stand_in.with_callbacks
        def fit(self, X):
            context = self._init_callback_context(task_name="fit", max_subtasks=2)
            context = context.call_on_fit_task_begin(estimator=self, X=X)
            task = context.subcontext(task_name="epoch").call_on_fit_task_begin(estimator=self)
            with task.propagate_callback_context(self):
                stops = task.call_on_fit_task_end(estimator=self)
            return stops or context.call_on_fit_task_end(estimator=self)

    assert Estimator().fit([1]) is False
    with pytest.raises(NotImplementedError, match=r"scikit-learn 1\.9"):
        Estimator().set_callbacks()


def test_nothing_else_is_asked_of_a_context(stand_in):
    known = {name for name in dir(stand_in.CallbackContext) if not name.startswith("__")}
    asked = set()
    for path in SKTL.rglob("*.py"):
        asked |= set(re.findall(r"(?:context|task|tasks)\.(\w*(?:task|context)\w*)\(", path.read_text()))
    assert len(asked) > 3
    assert asked <= known


def test_callbacks_are_imported_in_one_place():
    imports = re.compile(r"(from|import) sklearn\.callback")
    importing = {path.name for path in SKTL.rglob("*.py") if imports.search(path.read_text())}
    assert importing == {"_callbacks.py"}
