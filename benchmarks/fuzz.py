"""Spoiled files through every reader: an image or one sentence, and nothing else.

Truncated, bit-flipped and lying files, bombs, paths that lead out of a folder and tampered
checkpoints are opened in processes forked from one warmed parent. A case is a fault if the process
crashes, takes more than 10 s of the processor (60 s of the clock; the machine may be busy), needs
more memory than three times the decoded image plus 500 MB, answers with anything else than a
`StackSAMError` of one sentence, or lets a patient's name out. A flipped pixel that still reads is
no fault; neither is a line that a decoder below us writes to the terminal, which is counted. Needs
``os.fork``.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import _fuzz_seeds
import _fuzz_ways

MAX_SECONDS = 10.0
PATIENCE = 60.0
SPARE_BYTES = 500 * 2**20
MAX_GIB = "2"  # the readers' limit during the test
CAP_BYTES = 12 * 2**30  # of address space, to keep the machine alive
NO_GUARD = "does not fit into memory"  # said after an allocation failed, so it was attempted


def measure(
    cases: int = 2000, workers: int = 0, seed: int = 0, keep: str = "", only: str = ""
) -> dict[str, float]:
    """Faults by kind, and the worst of the rest.

    Parameters
    ----------
    cases, seed : int
        How many, and which ones.
    workers : int
        Processes at once; 0 is one per core.
    keep : str
        Folder for the inputs of faults.
    only : str
        Seeds whose names hold this.
    """
    if not hasattr(os, "fork"):
        raise SystemExit("this benchmark forks its cases; run it on Linux or macOS")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        home = Path(folder)
        seeds = _fuzz_seeds.write_seeds(home / "seeds")
        _fuzz_ways.make_bombs()
        _warm_up(seeds)
        chosen = [path for path in seeds if only in path.name]
        if not chosen:
            raise SystemExit(f"no seed is called {only}; there are {[p.name for p in seeds]}")
        results = _run(chosen, home, cases, workers or os.cpu_count() or 1, seed, keep)
    spent = {"processor_seconds": sum(os.times()[:4])}  # of this process and of those it waited for
    return _figures(results, time.monotonic() - started) | spent


@dataclass
class Case:
    """One spoiled input and what became of it."""

    number: int
    source: Path
    pid: int = 0
    pipe: int = -1
    started: float = 0.0
    answer: str = ""
    way: str = "?"
    outcome: str = ""
    fault: str = ""
    is_noisy: bool = False
    seconds: float = 0.0
    growth: int = 0
    decoded: int = 0


def _warm_up(seeds: list[Path]) -> None:
    """Open every seed once: the libraries are loaded, and the honest files are seen to read."""
    import torch

    torch.set_num_threads(1)  # a thread pool would not survive the fork
    os.environ["STACKSAM_MAX_GIB"] = MAX_GIB
    for path in seeds:
        target = path / path.name.removesuffix(".folder") if path.suffix == ".folder" else path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            open_and_touch(target)


def open_and_touch(path: Path) -> int:
    """Open a file by its reader, read three slices, and return the decoded size in bytes."""
    import numpy as np

    import stacksam
    from stacksam.io.prompt_files import load_prompts

    if path.name == "prompts.json":
        load_prompts(path, (6, 20, 24))
        return 0
    if path.suffix in (".safetensors", ".pth"):
        stacksam.load_model(path, device="cpu")
        return 0
    if path.name == "structures.dcm":
        image = stacksam.Volume(np.zeros((6, 20, 24), np.int16), affine=np.diag([3, 0.6, 0.5, 1]))
        volume = stacksam.read_labels(path, like=image)
    else:
        volume = stacksam.read(path)
    for index in {0, volume.shape[0] // 2, volume.shape[0] - 1}:
        volume.read_slice(index)
    return int(np.prod(volume.data.shape, dtype=object)) * volume.dtype.itemsize


def _run(
    seeds: list[Path], home: Path, cases: int, workers: int, seed: int, keep: str
) -> list[Case]:
    waiting = [Case(number, seeds[number % len(seeds)]) for number in range(cases)]
    waiting.reverse()
    running: list[Case] = []
    done: list[Case] = []
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(_start(waiting.pop(), home, seed))
        select.select([case.pipe for case in running], [], [], 0.05)
        for case in list(running):
            if _has_ended(case, home):
                running.remove(case)
                done.append(case)
                _finish(case, home, keep)
    return done


def _start(case: Case, home: Path, seed: int) -> Case:
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(case, home, seed, writing)
    os.close(writing)
    os.set_blocking(reading, False)
    case.pid, case.pipe, case.started = pid, reading, time.monotonic()
    return case


def _work(case: Case, home: Path, seed: int, pipe: int) -> None:
    """In the forked process: spoil, open, answer, and leave without any clean-up."""
    import resource

    def answer(**values: Any) -> None:
        os.write(pipe, (json.dumps(values) + "\n").encode())

    folder = home / f"case{case.number}"
    folder.mkdir()
    output = os.open(home / f"out{case.number}", os.O_CREAT | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    way = "?"
    try:
        warnings.simplefilter("ignore")
        path, way = _fuzz_ways.spoil(case.source, folder, random.Random(f"{seed}.{case.number}"))
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if _has_proc() else 0
        limit = pages * resource.getpagesize() + CAP_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        _forget_peak()
        answer(way=way, ready=True, base=_memory("VmRSS"))
        decoded = open_and_touch(path)
        answer(way=way, outcome="read", decoded=decoded, peak=_memory("VmHWM"))
    except BaseException as error:  # noqa: BLE001 - the answer says what it was
        text = str(error)
        answer(
            way=way,
            outcome=_kind_of(error),
            text=text,
            peak=_memory("VmHWM"),
            trace=traceback.format_exc()[-2000:],
        )
    os._exit(0)


def _has_proc() -> bool:
    return Path("/proc/self/statm").is_file()


def _forget_peak() -> None:
    """Start the process's peak of memory anew; spoiling a file needs some of its own."""
    if _has_proc():
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Bytes of resident memory, now (VmRSS) or at most (VmHWM); 0 where the system keeps it."""
    if not _has_proc():
        return 0
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _kind_of(error: BaseException) -> str:
    from stacksam.core.errors import StackSAMError

    return "refused" if isinstance(error, StackSAMError) else f"raised {type(error).__name__}"


def _has_ended(case: Case, home: Path) -> bool:
    try:
        while part := os.read(case.pipe, 65536):
            case.answer += part.decode()
    except BlockingIOError:
        pass
    waited = time.monotonic() - case.started
    case.seconds = _processor_seconds(case.pid) or case.seconds
    ended, status = os.waitpid(case.pid, os.WNOHANG)
    if not ended and waited <= PATIENCE and case.seconds <= MAX_SECONDS + _spoiling(case):
        return False
    if not ended:
        os.kill(case.pid, signal.SIGKILL)
        os.waitpid(case.pid, 0)
        case.fault = "hang"
    elif os.WIFSIGNALED(status):
        case.fault = f"crash (signal {os.WTERMSIG(status)})"
    try:
        while part := os.read(case.pipe, 65536):
            case.answer += part.decode()
    except BlockingIOError:
        pass
    os.close(case.pipe)
    return True


def _spoiling(case: Case) -> float:
    """Seconds allowed for making the input, until the process says that it begins to read."""
    return 0.0 if case.answer else PATIENCE


def _processor_seconds(pid: int) -> float:
    """What a process has taken of the processor until now; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _finish(case: Case, home: Path, keep: str) -> None:
    answers = [json.loads(line) for line in case.answer.splitlines() if line.endswith("}")]
    told: dict[str, Any] = {}
    for answer in answers:
        told |= answer
    case.way = told.get("way", "?")
    case.outcome = told.get("outcome", "nothing")
    case.decoded = told.get("decoded", 0)
    case.growth = max(0, told.get("peak", 0) - told.get("base", 0))
    output = (home / f"out{case.number}").read_text(errors="replace")
    case.is_noisy = bool(output.strip())
    case.fault = case.fault or _fault_of(case, told, output, home)
    if case.fault:
        print(f"  {case.number} {case.source.name} {case.way}: {case.fault}: ", end="")
        print(told.get("text", "")[:300], flush=True)
        if keep:
            target = Path(keep) / f"{case.number}-{case.way}"
            shutil.copytree(home / f"case{case.number}", target, dirs_exist_ok=True)
            (target / "trace.txt").write_text(told.get("trace", "") + output, encoding="utf-8")
    shutil.rmtree(home / f"case{case.number}", ignore_errors=True)
    (home / f"out{case.number}").unlink()


def _fault_of(case: Case, told: dict[str, Any], output: str, home: Path) -> str:
    text = told.get("text", "")
    if case.outcome == "nothing":
        return "no answer"
    if case.outcome.startswith("raised"):
        return case.outcome
    if "Secret" in text + output:
        return "a name got out"
    if case.growth > 3 * case.decoded + SPARE_BYTES:
        return f"memory ({case.growth / 2**20:.0f} MB)"
    if case.outcome == "refused":
        if NO_GUARD in text:
            return "allocated before it was refused"
        if "\n" in text or not 15 < len(text) < 600 or str(home) in text:
            return "no sentence"
    return ""


def _figures(results: list[Case], seconds: float) -> dict[str, float]:
    faults = Counter(case.fault.split(" ")[0] for case in results if case.fault)
    outcomes = Counter(case.outcome for case in results)
    figures: dict[str, float] = {
        "cases": len(results),
        "seconds": seconds,
        "read": outcomes["read"],
        "refused": outcomes["refused"],
        "faults": sum(faults.values()),
    }
    figures |= {f"faults_{name}": float(n) for name, n in sorted(faults.items())}
    figures["library_wrote_to_terminal"] = float(sum(case.is_noisy for case in results))
    figures["slowest_s"] = max(case.seconds for case in results)
    figures["largest_growth_mb"] = max(case.growth for case in results) / 2**20
    kinds = {case.source.name for case in results}
    figures["inputs"] = len(kinds)
    figures["ways"] = len({case.way for case in results})
    return figures
