"""``penstock run --metrics-port``: a real process, scraped while it runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

PENSTOCK = [sys.executable, "-m", "penstock"]
LIVE = """
name: live
nodes:
  source: {kind: 'core::file_reader', params: {path: PIPE}}
  object: {kind: 'core::object_store_writer', params: {url: 'file:OUT'}, needs: source}
"""


@pytest.fixture
def pipeline(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / "live.yml"
    file.write_text(LIVE.replace("PIPE", str(tmp_path / "pipe")).replace("OUT", str(tmp_path / "out")))
    return file


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def value(text, name, **labels):
    wanted = "".join(f'(?=[^}}]*{label}="{re.escape(text)}")' for label, text in labels.items())
    found = re.search(rf"^{name}(?:{{{wanted}[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_can_be_scraped_while_it_lasts(pipeline, tmp_path, as_json):
    command = [*PENSTOCK, "run", str(pipeline), "--metrics-port", "0", *(["--json"] if as_json else [])]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = running.stderr.readline()
    url = (
        json.loads(line)["url"] if as_json else re.fullmatch(r"metrics on (http://127\.0\.0\.1:\d+/metrics)\n", line)[1]
    )
    with (tmp_path / "pipe").open("wb", buffering=0) as feed:
        feed.write(b"x" * 9000)
        until = time.monotonic() + 20
        while value(text := scrape(url), "penstock_upload_bytes_total", node="object") != 9000:
            assert time.monotonic() < until, text
        assert value(text, "penstock_upload_at_risk_bytes") == value(text, "penstock_upload_unacked_bytes") == 9000
        assert value(text, "penstock_upload_oldest_unacked_seconds") > 0
        of_node = {"pipeline": "live", "node": "object", "kind": "core::object_store_writer"}
        assert value(text, "penstock_node_received_bytes_total", **of_node) == 9000
        assert value(text, "penstock_node_state", **of_node, state="running") == 1
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 143, errors
    assert (tmp_path / "out").read_bytes() == b"x" * 9000
    with pytest.raises(urllib.error.URLError):
        scrape(url)


def test_a_port_that_cannot_be_had_stops_the_run_before_it_begins(pipeline):
    for port in ("70000", "-1", "http"):
        ended = subprocess.run([*PENSTOCK, "run", pipeline, "--metrics-port", port], capture_output=True, check=False)
        assert ended.returncode == 2


def test_a_library_that_is_missing_is_named_with_its_extra(pipeline, tmp_path):
    (tmp_path / "prometheus_client.py").write_text("raise ImportError")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [*PENSTOCK, "run", pipeline, "--metrics-port", "0"]
    ended = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert ended.returncode == 2
    assert ended.stderr == b"error: --metrics-port needs a library: pip install 'penstock[metrics]'\n"
