"""Sessions killed at random moments, restored, and compared with what had been done.

Each trial does scripted steps (prompts, propagation, clean-up, commit, rename, delete, undo,
import, export and more) in a process that says on a pipe what is finished, until SIGKILL ends it at
a random moment. Another process restores the folder and compares it with a twin that did the same
steps without a journal. Processes are forked from one warmed parent before any thread starts;
``window_*`` are trials in a napari window with the dock. Needs ``os.fork`` (what ships does not).
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

PATIENCE = 300.0
READY = "ready"


def measure(
    trials: int = 200, windows: int = 10, seed: int = 0, keep: str = ""
) -> dict[str, float]:
    """Faults by kind, which should be 0, and how far the trials came.

    Parameters
    ----------
    trials, windows : int
        Kills of headless sessions, and of ones in a window.
    seed : int
    keep : str
        Folder for what faulty trials left.
    """
    if not hasattr(os, "fork"):
        raise SystemExit("this benchmark forks its trials; run it on Linux or macOS")
    if windows:
        from _crash_window import need_display

        need_display()
    figures: dict[str, float] = {}
    for kind, count in (("headless", trials), ("window", windows)):
        if count:
            figures |= {f"{kind}_{key}": n for key, n in _run(kind, count, seed, keep).items()}
    return figures


def _run(kind: str, count: int, seed: int, keep: str) -> dict[str, float]:
    if kind == "headless":
        _warm()
        work, judge = headless_work, headless_judge
    else:
        from _crash_window import judge, warm, work

        warm()
    rng, tally, spent = random.Random(seed), Counter[str](), _processor_seconds()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stacksam-crash-") as root:
        times = _trial(Path(root) / "whole", seed, None, 0.0, work)[1]
        for number in range(count):
            folder = Path(root) / f"trial {number}"
            steps = rng.randrange(len(times))
            delay = rng.uniform(0, 1.2) * (times[steps] - (times[steps - 1] if steps else 0.0))
            said, _ = _trial(folder, seed + number, steps, delay, work)
            verdict = _asked(lambda f=folder, n=number, s=said: judge(f, seed + n, s))  # type: ignore[misc]
            tally.update(verdict["counts"])
            if verdict["fault"]:
                print(f"  {kind} trial {seed + number}: {verdict['fault']}", flush=True)
                if keep:
                    shutil.copytree(folder, Path(keep) / f"{kind}-{seed + number}")
            shutil.rmtree(folder)
    names = (
        "faults",
        "lost_objects",
        "lost_finished_steps",
        "refused_with_a_reason",
        "killed_before_first_step",
        "unfinished_step_kept",
        "unfinished_step_lost",
    )
    figures: dict[str, float] = {"trials": count} | {name: tally[name] for name in names}
    figures["steps_finished"] = tally["steps"] / count
    figures["script_seconds"] = times[-1]
    figures["seconds"] = time.monotonic() - started
    figures["processor_seconds"] = _processor_seconds() - spent
    return figures


def _processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _warm() -> None:
    """Import everything and run everything once, in the one thread there is."""
    import SimpleITK  # noqa: F401 - importing it starts no thread
    import torch
    import zarr  # noqa: F401
    from _crash_script import digest, do, new_session, script

    import stacksam.io.writers
    import stacksam.session.files
    import stacksam.session.journals  # noqa: F401

    torch.set_num_threads(1)
    session = new_session()
    with tempfile.TemporaryDirectory() as folder:
        for step in script(0):
            if step[0] not in ("export", "save"):  # their libraries start threads
                do(session, step, Path(folder))
    digest(session)


def headless_work(folder: Path, seed: int, say: Callable[[str], None]) -> None:
    """Do the steps, with a journal."""
    from _crash_script import do, new_session, script

    say("ready")
    session = new_session()
    session.start_journal(folder / "session")
    for number, step in enumerate(script(seed), start=1):
        do(session, step, folder)
        say(str(number))


def headless_judge(folder: Path, seed: int, said: list[str]) -> dict[str, Any]:
    """Restore and compare with a twin."""
    from _crash_script import digest, do, missing_objects, new_session, script

    from stacksam.core.errors import ReadError
    from stacksam.session import Session

    twin, steps, done = new_session(), list(script(seed)), len(said)
    elsewhere = folder / "twin"
    elsewhere.mkdir()
    counts = {"steps": done, "killed_before_first_step": int(not done)}
    try:
        found = Session.restore(folder / "session", twin.volume, twin.model)
    except ReadError as error:
        fault = f"restoring was refused after {done} steps: {error}" if done else ""
        return _verdict(counts | {"refused_with_a_reason": 1}, fault)
    digests = [digest(twin)]
    for step in steps[:done]:
        do(twin, step, elsewhere)
        digests.append(digest(twin))
    now = digest(found)
    if now == digests[-1]:
        counts["unfinished_step_lost"] = int(done < len(steps))
        return _verdict(counts, _goes_on(found, folder / "session"))
    lost = missing_objects(found, twin)
    if done < len(steps):
        do(twin, steps[done], elsewhere)
    if now == digest(twin):
        return _verdict(counts | {"unfinished_step_kept": 1}, _goes_on(found, folder / "session"))
    behind = done - digests.index(now) if now in digests else 0
    counts |= {"lost_objects": lost, "lost_finished_steps": behind}
    return _verdict(counts, f"differs after {done} steps; {behind} behind")


def _goes_on(session: Any, folder: Path) -> str:
    """What is wrong with work that goes on in a folder that was restored; or nothing."""
    from stacksam.session import Session, journals

    if session.can_undo and not journals.unfinished(folder):
        return "is not offered"
    session.start_journal(folder)
    object_id = session.new_object("goes on")
    session.stop_journal()
    again = Session.restore(folder, session.volume, session.model)
    return "" if again.objects[object_id].name == "goes on" else "does not go on"


def _verdict(counts: dict[str, int], fault: str) -> dict[str, Any]:
    return {"counts": counts | {"faults": int(bool(fault))}, "fault": fault}


def _trial(
    folder: Path, seed: int, steps: int | None, delay: float, work: Callable[..., None]
) -> tuple[list[str], list[float]]:
    """Work in a process until it is killed, or has finished.

    Parameters
    ----------
    folder : Path
    seed : int
    steps : int or None
        The process is killed `delay` seconds after it has finished so many; None: never.
    delay : float
    work : callable

    Returns
    -------
    said : list of str
        One line per finished step.
    times : list of float
        When they came, in seconds since the process was ready.
    """
    folder.mkdir()
    reading, writing = os.pipe()
    pid = _forked(lambda: work(folder, seed, lambda text: _say(writing, text)), reading)
    os.close(writing)
    heard, times = b"", list[float]()
    while steps is None or heard.count(b"\n") <= steps:
        part = _hear(reading, time.monotonic() + PATIENCE)
        if not part:
            break
        heard += part
        times += [time.monotonic()] * part.count(b"\n")
    end = time.monotonic() + delay
    while part := _hear(reading, end):
        heard += part
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while part := _hear(reading, time.monotonic() + PATIENCE):
        heard += part
    os.close(reading)
    ready, *said = heard.decode().split("\n")[:-1] or [""]
    if ready != READY:
        raise RuntimeError("the trial did not begin")
    return said, [moment - times[0] for moment in times[1:]]


def _asked(answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """An answer from a process of its own, as restoring starts threads."""
    reading, writing = os.pipe()
    pid = _forked(lambda: _say(writing, json.dumps(answer())), reading)
    os.close(writing)
    heard = b""
    while part := _hear(reading, time.monotonic() + PATIENCE):
        heard += part
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    if not heard:
        return {"counts": {"faults": 1}, "fault": "restoring ended without an answer"}
    return dict(json.loads(heard))


def _forked(work: Callable[[], None], unused: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.close(unused)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - it ends here
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _say(descriptor: int, text: str) -> None:
    os.write(descriptor, text.encode() + b"\n")


def _hear(descriptor: int, until: float) -> bytes:
    """What has come, once something has; nothing if the other end closes or it is too late."""
    left = max(0.0, until - time.monotonic())
    return os.read(descriptor, 2**16) if select.select([descriptor], [], [], left)[0] else b""
