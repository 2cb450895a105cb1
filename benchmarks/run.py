"""Run a benchmark by name: ``python benchmarks/run.py NAME [--option value ...] [--json FILE]``.

A benchmark is a file beside this one with a function ``measure(**options) -> {figure: number}``.
Its docstring says what it measures; the function's keyword parameters become the options.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import os
import platform
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

FOLDER = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Run one benchmark, print its figures and store them."""
    outer = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    outer.add_argument("name", choices=benchmark_names())
    outer.add_argument("options", nargs=argparse.REMAINDER, help="NAME --help lists them")
    chosen = outer.parse_args(arguments)
    benchmark = load(chosen.name)
    options = vars(option_parser(benchmark, chosen.name).parse_args(chosen.options))
    out, bars = options.pop("json"), options.pop("bars")
    about = machine()
    print(f"{chosen.name}: {(benchmark.__doc__ or '').strip().splitlines()[0]}")
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    figures = benchmark.measure(**options)
    for figure, value in figures.items():
        print(f"  {figure:45s} {value:.6g}")
    if out:
        record = {"name": chosen.name, "machine": about, "figures": figures}
        out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if bars:
        sys.path.insert(0, str(FOLDER))
        from _picture import write_picture

        write_picture(bars, chosen.name, figures)


def benchmark_names() -> list[str]:
    """Names of the benchmarks beside this file."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "run")


def load(name: str) -> ModuleType:
    """Import one benchmark, so that the others' libraries are not needed."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"the benchmark {name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def option_parser(benchmark: ModuleType, name: str) -> argparse.ArgumentParser:
    """Offer the parameters of a benchmark's `measure` as options."""
    parser = argparse.ArgumentParser(
        f"run.py {name}",
        description=benchmark.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = get_type_hints(benchmark.measure)
    for option, parameter in inspect.signature(benchmark.measure).parameters.items():
        kind: dict[str, Any] = {"type": kinds[option]}
        if kinds[option] is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        flag = "--" + option.replace("_", "-")
        parser.add_argument(
            flag, dest=option, default=parameter.default, help="default %(default)s", **kind
        )
    parser.add_argument("--json", type=Path, help="file for name, machine and figures")
    parser.add_argument("--bars", type=Path, help="PNG file for the figures as bars")
    return parser


def machine() -> dict[str, str | int | float]:
    """What a figure depends on: processor, cores, load by others, and versions."""
    about: dict[str, str | int | float] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if hasattr(os, "getloadavg"):  # not on Windows
        about["load_before"] = round(os.getloadavg()[0], 2)
    if importlib.util.find_spec("torch"):
        import torch

        about["torch"] = torch.__version__
        if torch.cuda.is_available():
            about["gpu"] = torch.cuda.get_device_name()
    return about


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if found:
            return found[0]
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
