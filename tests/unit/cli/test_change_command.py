"""``penstock change``: what is said of the answer of a run."""

import json
import socket
import threading

import pytest

from penstock.cli.change import change_command

OPS = "ops: [{add: {id: n, kind: core::file_writer, params: {path: '${WHERE}', chunk_size: '${SIZE}'}, needs: a}}]"


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_variable_has_brought_is_not_in_what_is_said(tmp_path, monkeypatch, capsys, as_json):
    """The run has got the value, and quotes it."""
    monkeypatch.setenv("SIZE", "hunter2")
    monkeypatch.setenv("WHERE", "a")
    path, ops = tmp_path / "live.sock", tmp_path / "ops.yml"
    ops.write_text(OPS)
    place = "ops.0.add.params.chunk_size"
    finding = {"path": place, "message": "must be an integer, not 'hunter2'"}
    answer = {"answer": "change", "ok": False, "error": f"change: {place}: {finding['message']}", "findings": [finding]}
    sent = []

    def run():
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            sent.append(json.loads(lines.readline()))
            client.sendall(json.dumps(answer).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=run)
        thread.start()
        with pytest.raises(SystemExit) as ended:
            change_command(path, str(ops), dry_run=False, as_json=as_json)
        thread.join()
    assert ended.value.code == 3
    assert sent[0]["ops"][0]["add"]["params"] == {"path": "a", "chunk_size": "hunter2"}
    said = "".join(capsys.readouterr())
    assert "hunter2" not in said
    assert said.count("must be an integer, not the value of '${SIZE}'") == (2 if as_json else 1)
