"""One line that says how long it will still take."""

import io

import pytest

from sktl._progress import ProgressLine, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def shown(stream, seconds_a_step, n_steps=10):
    clock = Clock()
    line = ProgressLine("A network", n_steps, "epochs", stream=stream, clock=clock)
    for done in range(1, n_steps + 1):
        clock.now += seconds_a_step
        line(done, "loss 0.5")
    line.close("loss 0.5")
    return stream.getvalue()


def test_what_is_short_prints_nothing():
    assert shown(io.StringIO(), 0.49) == shown(Terminal(), 0.49) == ""


def test_a_terminal_shows_one_line_and_the_time_left():
    text = shown(Terminal(), 6)
    assert text.count("\n") == 1
    assert text.endswith("\n")
    states = [state.rstrip() for state in text.split("\r")[1:]]
    assert states[0] == "A network: 1 of 10 epochs, 54 s left, loss 0.5"  # nine more at six seconds each
    assert states[3] == "A network: 4 of 10 epochs, 36 s left, loss 0.5"
    assert states[-1] == "A network: 10 of 10 epochs in 1 min 0 s, loss 0.5"


def test_a_shorter_state_leaves_nothing_of_a_longer_one():
    clock, stream = Clock(), Terminal()
    line = ProgressLine("A network", 10, stream=stream, clock=clock)
    for done, note in ((1, "a long note that goes on"), (2, "")):
        clock.now += 10
        line(done, note)
    _, first, second = stream.getvalue().split("\r")
    assert len(second) == len(first)


def test_a_log_gets_plain_lines_now_and_then():
    text = shown(io.StringIO(), 6, n_steps=20)
    assert "\r" not in text
    assert "\x1b" not in text
    assert [line.split(" of ")[0] for line in text.splitlines()] == [f"A network: {n}" for n in (1, 6, 11, 16, 20)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (3599.7, "1 h 0 min"), (7260, "2 h 1 min")],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
