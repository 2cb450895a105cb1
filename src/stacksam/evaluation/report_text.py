"""A report as tables for reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacksam.evaluation.report import Report


def report_text(report: Report) -> str:
    """Means over data sets with intervals, then the main figure of each data set.

    The main figure is listed for every group of objects, the others for all objects. Where there
    are such, how confidence and IoU agree, and how well IoU is predicted.
    """
    head = (
        f"{report.protocol} on {report.split}, model {report.model}: up to {report.limit} objects "
        f"per data set, seed {report.seed}, {report.seconds:.0f} s"
    )
    parts = [head, _thinning(report), _means(report), _groups(report), _datasets(report)]
    parts += [_confidence(report), _calibration(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _thinning(report: Report) -> str:
    every, kept_at = report.thinning.every, report.thinning.kept_at
    if report.thinning.is_off:
        return ""
    return f"slices kept: every {every}; objects and scores by those kept at every {kept_at}"


def _confidence(report: Report) -> str:
    """By data set and as means, all slices and those on which something was found."""
    table = report.confidence
    if not table:
        return ""
    head = ("confidence", "Spearman", "slices", "least certain in worst quarter", "objects")
    rows: list[tuple[str, ...]] = [(*head, "Spearman, found", "least certain, found")]
    means = {f"mean {group}": entry for group, entry in table["means"].items()}
    for name, entry in {**table["datasets"], **means}.items():
        cells = [
            _number(entry, figure)
            for figure in ("spearman", "n_slices", "least_certain_in_worst_quarter", "n_objects")
        ]
        found = ("spearman_of_found", "least_certain_in_worst_quarter_of_found")
        rows.append((name, *cells, *(_number(entry, figure) for figure in found)))
    share = table["means"]["all"].get("least_certain_in_worst_quarter_of_all")
    text = "" if share is None else f"\nof all objects: least certain in worst quarter {share:.3f}"
    return _table(rows) + text


def _number(entry: dict[str, float], name: str) -> str:
    value = entry.get(name)
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _calibration(report: Report) -> str:
    """The expected calibration error of the predicted IoU, over all predictions."""
    calibration = report.calibration
    if calibration is None:
        return ""
    text = f"predicted IoU: expected calibration error {calibration.error():.3f}"
    if calibration.scaling is not None:
        text += f", calibrated on val {calibration.error(is_scaled=True):.3f}"
    return f"{text} ({len(calibration.predicted)} predictions, {len(calibration.bins())} bins)"


def _means(report: Report) -> str:
    rows: list[tuple[str, ...]] = [
        ("means over data sets", "figure", "mean", "95 % interval", "sets", "objects")
    ]
    for method in report.methods:
        present = set(report.figures(method))
        for figure in (f for f in report.shown if f in present):
            rows.append((method, figure, *_cells(report, method, figure, "all")))
    return _table(rows)


def _groups(report: Report) -> str:
    head = f"{report.main} by group"
    rows: list[tuple[str, ...]] = [(head, "method", "mean", "95 % interval", "sets", "objects")]
    for group in report.groups:
        for method in report.methods:
            cells = _cells(report, method, report.main, group)
            if cells:
                rows.append((group, method, *cells))
    return _table(rows)


def _cells(report: Report, method: str, figure: str, group: str) -> tuple[str, ...]:
    mean = report.mean(method, figure, group)
    if mean is None:
        return ()
    interval = f"{mean.low:.3f} - {mean.high:.3f}"
    return (f"{mean.value:.3f}", interval, str(mean.n_datasets), str(mean.n))


def _datasets(report: Report) -> str:
    facts: dict[str, tuple[str, bool, set[str]]] = {}
    for score in report.scores:
        fact = facts.setdefault(score.dataset, (score.group, score.is_unseen, set()))
        fact[2].add(score.modality)
    tables = {m: report.dataset_means(m) for m in report.methods}
    rows = [(f"{report.main} by data set", "group", "modality", "unseen", "n", *tables)]
    for name, (group, unseen, modalities) in sorted(
        facts.items(), key=lambda item: (item[1][0], item[0])
    ):
        n = max((table[name][1] for table in tables.values() if name in table), default=0)
        cells = [f"{t[name][0]:.3f}" if name in t else "-" for t in tables.values()]
        kind = ", ".join(sorted(modalities))
        rows.append((name, group, kind, "yes" if unseen else "no", str(n), *cells))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)
