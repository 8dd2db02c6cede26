"""What a process says it uses."""

import time
from types import SimpleNamespace

import pytest

from atelier.tracking import system_metrics
from atelier.tracking.system_metrics import Gauges


def test_processor_and_memory_of_the_time_since_the_last_reading(monkeypatch) -> None:
    clock, cpu = [100.0], [7.0]
    monkeypatch.setattr(system_metrics, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(system_metrics, "_cpu_seconds", lambda: cpu[0])
    meter = Gauges()
    clock[0], cpu[0] = 104.0, 8.0
    assert meter.read(5.0) == {}, "too early"
    clock[0], cpu[0] = 110.0, 22.0
    assert meter.read(5.0)["cpu_percent"] == pytest.approx(150)
    clock[0] = 115.0
    assert meter.read(5.0)["cpu_percent"] == 0


def test_a_busy_process_shows() -> None:
    meter, end = Gauges(), time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert meter.read(0.0)["cpu_percent"] > 1


def test_memory_grows_by_what_is_taken() -> None:
    before = system_metrics._memory().get("memory_mib")
    if before is None:
        pytest.skip("no /proc here")
    taken = b"x" * (256 * 2**20)  # large beside what an interpreter reuses
    assert system_metrics._memory()["memory_mib"] - before > 0.9 * len(taken) / 2**20
