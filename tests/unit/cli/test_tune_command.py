"""``penstock tune`` at a run that is about to end: it says what is known."""

import socket
import threading
from contextlib import contextmanager

import pytest

from penstock.cli.tune import tune_command


@contextmanager
def ending_with(answer, path):
    """A run that ends as it answers."""

    def end():
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            if answer is not None:
                lines.readline()
                client.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=end)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("answer", [None, b"", b'{"answer": "tu'], ids=["unread", "read", "half answered"])
@pytest.mark.parametrize(
    ("changes", "known"),
    [(("volume.gain=1",), "whether it was tuned is not known"), ((), "nothing can be shown of it")],
)
def test_a_run_that_ends_meanwhile_is_said_to(tmp_path, capsys, answer, changes, known):
    path = tmp_path / "live.sock"
    with ending_with(answer, path), pytest.raises(SystemExit) as ended:
        tune_command(path, changes, as_json=False)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {path}: the run ended before it answered: {known}\n"


def test_where_nobody_listens_it_is_said_how_to(tmp_path, capsys):
    path = tmp_path / "none.sock"
    with pytest.raises(SystemExit):
        tune_command(path, (), as_json=False)
    assert "No such file or directory: no pipeline listens there (run it with --control" in capsys.readouterr().err
