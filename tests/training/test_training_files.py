"""Files of tensors: read as they were written, or refused; whole, whoever writes and whatever kills them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from sktl.training import encode_tensors, read_tensors, write_whole

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16), "none": torch.empty(0, 3)}
REST = {"text": 'a "digest":"00" of its own', "numbers": [1, 2.5, None]}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "file"
    write_whole(path, encode_tensors(TENSORS, REST))
    tensors, rest = read_tensors(path)
    assert rest == REST
    assert all(
        torch.equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype for name in TENSORS
    )


def test_no_changed_byte_is_read(tmp_path):
    content, path = encode_tensors(TENSORS, REST), tmp_path / "file"
    for place in range(len(content)):
        for bit in (0, 4, 7):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match="it is damaged"):
                read_tensors(path)
    for n_bytes in [0, 7, 8, 20, len(content) - 1]:
        path.write_bytes(content[:n_bytes])
        with pytest.raises(ValueError, match="it is damaged"):
            read_tensors(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="it is damaged"):
        read_tensors(path)


def test_what_is_no_file_of_ours_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_tensors(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_tensors("/dev/zero")
    sparse = tmp_path / "sparse"
    sparse.write_bytes(encode_tensors(TENSORS, REST))
    os.truncate(sparse, 2**40)
    with pytest.raises(ValueError, match="its header speaks of"):
        read_tensors(sparse)
    header = json.dumps({"__metadata__": {"sktl": "{}"}}).encode()
    sparse.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="carries no digest"):
        read_tensors(sparse)


def test_threads_write_to_one_path(tmp_path):
    path, errors = tmp_path / "file", []
    contents = [encode_tensors({"a": torch.full((1000,), float(i))}, i) for i in range(4)]

    def write(content):
        try:
            for _ in range(25):
                write_whole(path, content)
                read_tensors(path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    tensors, rest = read_tensors(path)
    assert np.array_equal(tensors["a"], np.full(1000, rest))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="processes are told to be dead by signal 0")
def test_what_a_killed_writer_left_is_removed(tmp_path):
    path = tmp_path / "file"
    write_whole(path, encode_tensors(TENSORS, 0))
    program = "import os, sys, time; from sktl.training import write_whole; os.fsync = lambda f: time.sleep(60); "
    program += "write_whole(sys.argv[1], b'half')"
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
    other = tmp_path / ".sktl-of another file.part"
    other.touch()
    deadline = time.monotonic() + 30
    while len(os.listdir(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    write_whole(path, encode_tensors(TENSORS, 1))
    assert len(os.listdir(tmp_path)) == 3  # a living writer's is left
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert read_tensors(path)[1] == 1
    write_whole(path, encode_tensors(TENSORS, 2))
    assert sorted(os.listdir(tmp_path)) == [other.name, "file"]
