"""A load and a sample like any."""

from __future__ import annotations

from perf.values import Load, Sample

LOAD = Load(
    workload="handshakes",
    address=("127.0.0.1", 1),
    name="localhost",
    tls="1.3",
    group="X25519",
    client_pem="",
    connections=4,
    seconds=0.1,
    warm_seconds=0.0,
    path="/perf",
    cookie="",
    body=b"ok\n",
)
SAMPLE = Sample(
    operations=1000,
    errors=0,
    first_error="",
    wall_ns=1_000_000_000,
    server_cpu_ns=500_000_000,
    origin_cpu_ns=50_000_000,
    client_cpu_ns=400_000_000,
    p50_ns=4_000_000,
    p99_ns=9_000_000,
)
