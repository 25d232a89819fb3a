"""Single heartbeats: as many as 256 connections get through, and the steady 333 a second of 10,000 pairs."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess

from tests.bench.figure import Figure
from tests.bench.load import Load, Plan, run_load
from tests.bench.options import FOLDER
from tests.bench.stage import Stage
from tests.bench.usage import Usage, measured

_CONNECTIONS, _STEADY_RATE = 256, 333.0

_WRK_SCRIPT = """\
local devices, first_minute, sent, text_minute, text = %d, %d, 0, -1, ""

function request()
    local minute = first_minute + math.floor(sent / (2 * devices))
    local device = math.floor(sent / 2) %% devices
    if minute ~= text_minute then
        text_minute, text = minute, os.date("!%%Y-%%m-%%dT%%H:%%M", minute * 60)
    end
    local stamp = string.format('"timestamp":"%%s:%%02dZ"}', text, math.floor(device * 60 / devices))
    local body
    if sent %% 2 == 0 then
        body = string.format(
            '{"type":"meter","meterId":"METER-%%05d","kwhConsumedAc":0.1234,"voltage":231.5,', device + 1)
    else
        body = string.format(
            '{"type":"vehicle","vehicleId":"VH-%%05d","soc":56.7,"kwhDeliveredDc":0.1134,"batteryTemp":31.5,',
            device + 1)
    end
    sent = sent + 1
    return wrk.format("POST", "/v1/telemetry", {["Content-Type"] = "application/json"%s}, body .. stamp)
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\\n{"requests": %%d, "seconds": %%f, "refused": %%d, "broken": %%d, ' ..
        '"p50": %%f, "p95": %%f, "p99": %%f, "max": %%f}\\n',
        summary.requests, summary.duration / 1e6, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""


def measure_single(stage: Stage) -> list[Figure]:
    """Measure closed-loop with wrk where it is installed, else with the own generator; open-loop with the own one."""
    timescale = stage.options.edition == "timescale"
    wrk = shutil.which("wrk")
    closed, usage = run_closed(stage)
    sender = "wrk" if wrk else "the benchmark's own generator"
    steady, steady_usage = _run_own(stage, 64, _STEADY_RATE)
    used = steady_usage.text({"load": steady.cpu_seconds})
    return [
        Figure(
            "single",
            "heartbeats, 256 connections",
            closed.rate,
            "readings/s",
            at_least=6000 if timescale else None,
            note=f"closed loop by {sender}; {usage.text({'load': closed.cpu_seconds})}",
        ),
        Figure("single", "latency p50, 256 connections", closed.p50, "ms"),
        Figure("single", "latency p95, 256 connections", closed.p95, "ms"),
        Figure("single", "latency p99, 256 connections", closed.p99, "ms", below=100 if timescale else None),
        Figure("single", "latency max, 256 connections", closed.max, "ms"),
        Figure("single", "latency p50 at 333/s", steady.p50, "ms", note=f"open loop, own generator; {used}"),
        Figure("single", "latency p99 at 333/s", steady.p99, "ms", below=15 if timescale else None),
        Figure("single", "latency max at 333/s", steady.max, "ms"),
    ]


def run_closed(stage: Stage, key: str = "") -> tuple[Load, Usage]:
    """Send as many single readings as 256 connections get through, each with the key if one is given."""
    wrk = shutil.which("wrk")
    return _run_wrk(stage, wrk, key) if wrk else _run_own(stage, _CONNECTIONS, None, key)


def _run_own(stage: Stage, connections: int, rate: float | None, key: str = "") -> tuple[Load, Usage]:
    plan = Plan(
        port=stage.port,
        devices=stage.options.devices,
        first_minute=stage.timeline.next,
        end_minute=stage.timeline.end,
        seconds=stage.options.single_seconds,
        connections=connections,
        batch_readings=1,
        rate=rate,
        key=key,
    )
    load, usage = run_load(stage, plan)
    stage.timeline.next = load.next_minute
    return load, usage


def _run_wrk(stage: Stage, wrk: str, key: str) -> tuple[Load, Usage]:
    script = FOLDER / "single.lua"
    header = f', ["Authorization"] = "Bearer {key}"' if key else ""
    script.write_text(_WRK_SCRIPT % (stage.options.devices, stage.timeline.next, header))
    seconds = int(stage.options.single_seconds)
    command = [wrk, "--threads=1", f"--connections={_CONNECTIONS}", f"--duration={seconds}s", "--timeout=15s"]
    command += [f"--script={script}", f"http://127.0.0.1:{stage.port}"]
    cpu = _children_cpu_seconds()
    with measured(stage.processes) as usage:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    if told.pop("refused") or told.pop("broken"):
        raise RuntimeError(f"wrk saw failed requests:\n{done.stdout}")
    load = Load(**told, readings=told["requests"], cpu_seconds=_children_cpu_seconds() - cpu)
    stage.timeline.next += load.readings // (2 * stage.options.devices) + 2
    return load, usage


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
