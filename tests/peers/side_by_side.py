#!/usr/bin/env python3
"""Sage beside other receivers, over the wire, one after another on the same machine.

Prints the tables of docs/performance.md, "Over the wire". Installs nothing. Needs

  sage               target/release/sage, or SAGE=/path/to/sage
  prometheus         Debian: prometheus            (samples)
  victoria-metrics   Debian: victoria-metrics      (samples)
  rotel-agent        pip install rotel; ROTEL=/path/to/site-packages/rotel/rotel-agent, or on PATH   (spans)

and leaves out whoever is missing. Each receiver gets two loads: one that all can carry, for the delays of
acknowledgements, and one that nobody can carry, for throughput. Generator and receiver share the machine, so
throughput is also given for each second of processor time of the receiver.

  python3 tests/peers/side_by_side.py [SECONDS]
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
# Spans and samples a second: what all can carry, and what nobody can.
LOADS = [("steady", 20_000, 50_000), ("full", 50_000_000, 50_000_000)]
SERIES = 100_000
HERE = os.path.dirname(os.path.abspath(__file__))
SAGE = os.environ.get("SAGE", os.path.join(HERE, "../../target/release/sage"))


def found(variable, *names):
    named = os.environ.get(variable)
    return named or next(filter(None, map(shutil.which, names)), None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def load(out, spans, samples, *more):
    """Rows of one `sage lab load`."""
    command = [SAGE, "lab", "load", "--duration", f"{SECONDS}s", "--series", str(SERIES), "--out", out]
    command += ["--spans", str(spans), "--samples", str(samples), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    with open(os.path.join(out, "load.json")) as file:
        return json.load(file)["rows"]


class Peer:
    """A receiver of somebody else, in a directory of its own."""

    def __init__(self, name, program, port, arguments):
        self.name, self.port = name, port
        self.dir = tempfile.mkdtemp(prefix=f"sage-{name}-")
        with open(os.path.join(self.dir, "empty.yml"), "w"):
            pass
        log = open(os.path.join(self.dir, "log"), "w")
        self.process = subprocess.Popen(
            [program, *arguments], stdout=log, stderr=log, cwd=self.dir
        )
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        sys.exit(f"{name} does not listen; see {self.dir}/log")

    def load(self, path, spans, samples):
        out = os.path.join(self.dir, "out")
        url = f"http://127.0.0.1:{self.port}{path}"
        target = ["--name", self.name, "--target", url, "--pid", str(self.process.pid)]
        return load(out, spans, samples, *target)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode in (0, -signal.SIGTERM, 143):
            shutil.rmtree(self.dir, ignore_errors=True)


def prometheus():
    program, port = found("PROMETHEUS", "prometheus"), free_port()
    arguments = [
        "--config.file=empty.yml", "--storage.tsdb.path=data", "--web.enable-remote-write-receiver",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    return program and Peer("prometheus", program, port, arguments)


def victoria():
    program, port = found("VICTORIA_METRICS", "victoria-metrics", "victoria-metrics-prod"), free_port()
    arguments = ["-storageDataPath=data", f"-httpListenAddr=127.0.0.1:{port}"]
    return program and Peer("victoria-metrics", program, port, arguments)


def rotel():
    program, port, other = found("ROTEL", "rotel-agent"), free_port(), free_port()
    arguments = [
        "start", "--otlp-grpc-endpoint", f"127.0.0.1:{port}", "--otlp-http-endpoint", f"127.0.0.1:{other}",
        "--exporter", "blackhole",
    ]
    return program and Peer("rotel", program, port, arguments)


def measure(name, spans, samples):
    rows = []
    with tempfile.TemporaryDirectory() as out:
        rows += load(out, spans, samples)
        rows += load(out, 0, samples, "--v2")
    for start, path, carried in [
        (rotel, "", (spans, 0)),
        (prometheus, "/api/v1/write", (0, samples)),
        (victoria, "/api/v1/write", (0, samples)),
    ]:
        peer = start()
        if peer is None:
            print(f"{start.__name__} is not installed: left out", file=sys.stderr)
            continue
        try:
            rows += peer.load(path, *carried)
        finally:
            peer.stop()
    return [dict(row, load=name) for row in rows]


COLUMNS = [
    ("load", "load"), ("receiver", "receiver"), ("protocol", "protocol"), ("taken/s", "taken_per_s"),
    ("taken per CPU second", "taken_per_cpu_s"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"),
    ("p99.9 ms", "p99.9_ms"), ("refused", "refused"), ("failed", "failed"), ("dropped", "dropped"),
    ("peak MB", "peak_mb"),
]


def shown(row, column):
    value = row[column]
    if value is None:
        return "-"
    # Delays of a load that nobody can carry only say how long it lasted.
    if row["load"] == "full" and column.startswith("p") and column.endswith("_ms"):
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"


def main():
    if not os.path.exists(SAGE):
        sys.exit(f"{SAGE} is missing: cargo build --release --locked, or set SAGE")
    print("| " + " | ".join(title for title, _ in COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS), flush=True)
    for name, spans, samples in LOADS:
        for row in measure(name, spans, samples):
            print("| " + " | ".join(shown(row, column) for _, column in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
