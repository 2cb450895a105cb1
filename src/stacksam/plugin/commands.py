"""What buttons and keys ask for, one method each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QApplication

from stacksam.plugin.diagnostics import diagnostics
from stacksam.widgets.amounts import volume_text

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk
    from stacksam.plugin.workbench import Workbench

MODES = ("point+", "point-", "box", "scribble", "lasso", "paint", "pan")
NO_IMAGE = "open an image first"


class Commands:
    """Connects the dock's wishes with the desk that is open.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self._rows: list[dict[str, Any]] = []
        dock = bench.dock
        dock.prompts.mode_chosen.connect(self.set_mode)
        dock.prompts.negative_toggled.connect(lambda _: self._again())
        dock.propagation.propagate_asked.connect(self.propagate)
        dock.propagation.cancel_asked.connect(self.cancel)
        dock.propagation.fill_asked.connect(self.fill)
        dock.objects.edit_asked.connect(self._on_edit)
        dock.objects.go_to_asked.connect(self.go_to_object)
        dock.commit.commit_asked.connect(self.commit)
        dock.commit.commit_all_asked.connect(self.commit_all)
        dock.prompts.absent_asked.connect(self.mark_absent)
        dock.commit.export_asked.connect(self.export)
        dock.commit.import_asked.connect(self.import_labels)
        dock.measure.measure_asked.connect(self.measure)
        dock.measure.save_asked.connect(self.save_table)
        dock.footer.diagnostics_asked.connect(self.copy_diagnostics)

    @property
    def desk(self) -> Desk:
        """The desk that is open; ValueError if there is none."""
        if self.bench.desk is None:
            raise ValueError(NO_IMAGE)
        return self.bench.desk

    def run(self, command: str) -> None:
        """Do what a key stands for; what cannot be done is shown."""
        dock = self.bench.dock
        actions: dict[str, Callable[[], Any]] = {
            "candidate": dock.candidates.cycle,
            "propagate": lambda: self.propagate(dock.propagation.request()),
            "step_up": lambda: dock.propagation.step("up"),
            "step_down": lambda: dock.propagation.step("down"),
            "cancel": self.cancel,
            "least_certain": dock.strip.go_to_least_certain,
            "commit": lambda: self.commit(dock.commit.overwrite_check.isChecked()),
            "commit_all": lambda: self.commit_all(dock.commit.overwrite_check.isChecked()),
            "absent": self.mark_absent,
            "new_object": lambda: self.desk.session.new_object(),
            "hide": self.hide,
            "undo": lambda: self.desk.undo(),
            "redo": lambda: self.desk.redo(),
        }
        try:
            if command in MODES:
                self.set_mode(command)
            else:
                actions[command]()
        except (ValueError, TypeError) as error:
            self.bench.fail(error)

    def set_mode(self, mode: str) -> None:
        """Let the mouse do one of the prompt panel's modes."""
        if self._try(lambda: self.desk.set_mode(mode)):
            self.bench.dock.prompts.set_mode(mode)

    def propagate(self, request: Any) -> None:
        """Start a propagation."""
        self._try(lambda: self.desk.run.start(request))

    def cancel(self) -> None:
        """Stop the propagation that is under way; what was found is kept."""
        if self.bench.desk is not None:
            self.bench.desk.run.cancel()

    def fill(self) -> None:
        """Fill between the marked slices without the model."""
        desk = self.desk
        view, active = desk.view, desk.active_object
        if view is not None and active is not None:
            self._try(lambda: desk.session.fill_between(active, view.axis))

    def commit(self, overwrite: bool = False) -> None:
        """Write the active object into the labels; an outdated result is renewed before."""
        if not self._try(lambda: self.desk.flush()):
            return
        desk = self.desk
        active = desk.active_object
        if active is None:
            self.bench.fail(ValueError("choose an object first, or mark one"))
            return
        session = desk.session
        result = session.result(active)
        if result is not None and not session.is_current(active) and not desk.run.is_running:
            request = type(self.bench.dock.propagation.request())()
            self._try(lambda: desk.run.start(request, lambda: self._write(active, overwrite)))
        else:
            self._write(active, overwrite)

    def _write(self, object_id: int, overwrite: bool) -> None:
        desk = self.desk
        label_id = desk.attempt(lambda: desk.session.commit(object_id, overwrite=overwrite))
        if label_id is not None:
            name = desk.session.objects[object_id].name
            self._say(f"{name} is label {label_id} now. The next mark begins a new object.")

    def commit_all(self, overwrite: bool = False) -> None:
        """Write every marked object that is not finished; outdated results are renewed before."""
        if not self._try(lambda: self.desk.flush()):
            return
        desk = self.desk
        waiting = self._unfinished()
        if not waiting:
            self.bench.fail(ValueError("there is no marked object that is not finished"))
        elif any(self._is_outdated(i) for i in waiting) and not desk.run.is_running:
            request = replace(type(self.bench.dock.propagation.request())(), all_objects=True)
            self._try(lambda: desk.run.start(request, lambda: self._write_all(overwrite)))
        else:
            self._write_all(overwrite)

    def _unfinished(self) -> list[int]:
        objects = self.desk.session.objects
        return [i for i, info in objects.items() if info.prompts and not info.is_locked]

    def _is_outdated(self, object_id: int) -> bool:
        session = self.desk.session
        return session.result(object_id) is not None and not session.is_current(object_id)

    def _write_all(self, overwrite: bool) -> None:
        session, waiting = self.desk.session, self._unfinished()
        trouble, last = "", session.active_object
        for object_id in waiting:
            try:
                session.commit(object_id, overwrite=overwrite)
            except (ValueError, TypeError) as error:
                trouble, last = f"{session.objects[object_id].name}: {error}", object_id
        session.active_object = last
        n_left = len(self._unfinished())
        text = f"Committed {_count(len(waiting) - n_left, 'object')}."
        self.bench.dock.show_message(f"{text} Not {trouble}." if trouble else text, bool(trouble))

    def mark_absent(self) -> None:
        """Say that the active object is not on the slice in view."""
        desk = self.desk
        view, active = desk.view, desk.active_object
        if view is None or not view.is_flat or active is None:
            self.bench.fail(ValueError("choose an object and show one of its slices first"))
            return
        shape = desk.session.volume.plane_shape(view.axis)
        self._try(lambda: desk.add_mask(view.index, np.zeros(shape, bool), view.axis))

    def hide(self) -> None:
        """Hide the active object, or show it again."""
        desk = self.desk
        if desk.active_object is not None:
            info = desk.session.objects[desk.active_object]
            desk.session.set_visible(info.object_id, not info.is_visible)

    def go_to_object(self, object_id: int) -> None:
        """Show the slice on which an object is largest, or where it was marked first."""
        desk = self.desk
        result = desk.session.result(object_id)
        prompts = desk.session.objects[object_id].prompts
        if result is not None and result.slices:
            desk.go_to(int(np.argmax(result.areas)), result.axis)
        elif prompts:
            desk.go_to(prompts[0].index, prompts[0].axis)

    def export(self, path: str) -> None:
        """Write the labels to a file, in the image's geometry, and the objects' names.

        DICOM SEG holds names itself; beside any other file ``NAME_names.json`` has them, which
        ``stacksam measure --names`` reads.
        """
        desk = self.desk
        labels, volume = desk.session.labels, desk.session.volume
        objects = desk.session.objects.values()
        names = {o.label_id: o.name for o in objects if o.label_id}
        is_named = any(o.label_id and o.name != f"object {o.object_id}" for o in objects)

        def write() -> str:
            from stacksam.io import write_labels
            from stacksam.io.atomic import atomic_path, full_suffix

            write_labels(path, labels, like=volume, names=names)
            if not is_named or full_suffix(path) == ".dcm":
                return Path(path).name
            beside = Path(path).with_name(_without_suffix(path) + "_names.json")
            with atomic_path(beside) as temporary:
                text = json.dumps(names, ensure_ascii=False, indent=1)
                temporary.write_text(text + "\n", encoding="utf-8")
            return f"{Path(path).name} and {beside.name}"

        self.bench.errands.submit(write, on_step=lambda name: self._say(f"Wrote {name}."))

    def import_labels(self, as_keyframes: bool) -> None:
        """Take over the labels layer that is chosen, as objects or as keyframes."""
        desk = self.desk
        key = self.bench.dock.commit.import_key
        layer = next((x for x in self.label_layers() if x == key), None)
        if layer is None:
            self.bench.fail(ValueError("choose a labels layer to import"))
            return
        data = np.asarray(layer.data)
        grid = desk.grid
        if data.ndim == grid.ndim and data.shape != grid.frame_shape:
            frame = tuple(
                slice(None) if n == size else slice(min(int(at), n - 1), min(int(at), n - 1) + 1)
                for n, size, at in zip(data.shape, grid.frame_shape, grid.offset, strict=True)
            )
            data = data[frame]
        view = desk.view
        axis = 0 if view is None else view.axis
        target = desk.object_for_prompts() if as_keyframes else None

        def take_over() -> None:
            volume = data.reshape(grid.volume_shape) if data.size == _size(grid) else data
            ids = desk.session.import_labels(
                volume, axis=axis, as_keyframes=as_keyframes, object_id=target
            )
            if as_keyframes:
                desk.session.active_object = ids[0]
            self._say(f"Imported {_count(len(ids), 'object')}.")

        self._try(take_over)

    def label_layers(self) -> list[Any]:
        """Labels layers that are not ours."""
        from napari.layers import Labels

        ours = self._own_layers()
        return [
            layer
            for layer in self.bench.viewer.layers
            if isinstance(layer, Labels) and not any(layer == own for own in ours)
        ]

    def measure(self) -> None:
        """Measure the committed objects."""
        desk = self.desk
        session = desk.session
        names = {o.label_id: o.name for o in session.objects.values() if o.label_id}
        labels, volume = session.labels, session.volume

        def rows() -> list[dict[str, Any]]:
            from stacksam.measurement import measure_labels

            return measure_labels(labels, volume, names=names)

        self.bench.errands.submit(rows, key="measure", on_step=self._show_table)

    def save_table(self, path: str) -> None:
        """Write the measurements that are shown."""

        def write() -> None:
            from stacksam.measurement import write_table

            write_table(path, self._rows)

        if self._try(write):
            self._say(f"Wrote {Path(path).name}.")

    def copy_diagnostics(self) -> None:
        """Put versions and device on the clipboard."""
        QApplication.clipboard().setText(diagnostics(self.bench.session))
        self._say("Versions and device are on the clipboard; no data, no paths.")

    def refresh(self) -> None:
        """Offer the labels layers that can be imported."""
        layers = [(layer, layer.name) for layer in self.label_layers()]
        self.bench.dock.commit.set_label_layers(layers)

    def _own_layers(self) -> list[Any]:
        desk = self.bench.desk
        if desk is None:
            return []
        parts = (desk.preview, desk.labels)
        return [part.layer for part in parts if part.layer is not None]

    def _show_table(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self.bench.dock.measure.set_table(rows)
        by_label = {row["label"]: row for row in rows}
        sizes = {}
        for object_id, info in self.desk.session.objects.items():
            row = by_label.get(info.label_id)
            if row is not None:
                sizes[object_id] = (int(row["slices"]), _volume_text(row))
        self.bench.dock.objects.set_sizes(sizes)

    def _on_edit(self, object_id: int) -> None:
        self.go_to_object(object_id)
        self._say("Unlocked: mark, paint, propagate, then commit again.")

    def _again(self) -> None:
        """The sign of scribbles changed."""
        if self.bench.desk is not None and self.bench.desk.mode == "scribble":
            self.bench.desk.set_mode("scribble")

    def _say(self, text: str) -> None:
        self.bench.dock.show_message(text)

    def _try(self, action: Callable[[], Any]) -> bool:
        """Do it; what cannot be done is shown."""
        try:
            action()
        except (ValueError, TypeError, OSError) as error:
            self.bench.fail(error)
            return False
        return True


def _without_suffix(path: str) -> str:
    """File name without its ending, which may be one of two parts."""
    from stacksam.io.atomic import full_suffix

    name = Path(path).name
    return name[: len(name) - len(full_suffix(path))]


def _size(grid: Any) -> int:
    return int(np.prod(grid.volume_shape))


def _volume_text(row: dict[str, Any]) -> str:
    """Volume of a measured object in a unit that people read."""
    mm3 = row.get("volume_mm3")
    return f"{int(row['voxels'])} px" if mm3 is None else volume_text(mm3)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
