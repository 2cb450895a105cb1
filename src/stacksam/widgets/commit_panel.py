"""Keep an object: into the labels, into a file; and take steps back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from psygnal import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from stacksam.widgets.combos import fill_combo
from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.group import Group
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel

EXPORT_FILTER = (
    "NIfTI (*.nii.gz *.nii);;NRRD (*.nrrd);;MetaImage (*.mha);;TIFF (*.tif);;"
    "OME-Zarr (*.ome.zarr);;DICOM SEG (*.dcm);;All (*)"
)
NO_LABELS = "There is no labels layer to import."


class CommitPanel(Panel):
    """Commit, undo, redo, export and import.

    Attributes
    ----------
    bar : QWidget
        Commit, undo and redo, which the dock keeps in sight.
    commit_asked, commit_all_asked : psygnal signals (bool)
        The active object, or every marked one that is not finished, is to be kept; whether it may
        overwrite other objects.
    export_asked : psygnal signal (str)
        Path of the file to write; its ending is the format.
    import_asked : psygnal signal (bool)
        Whether the labels layer `import_key` becomes keyframes of the active object (True) or
        objects (False).
    """

    follows: ClassVar[tuple[str, ...]] = ("active_changed", "history_changed")
    commit_asked = Signal(bool)
    commit_all_asked = Signal(bool)
    export_asked = Signal(str)
    import_asked = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.commit_button = GlyphButton(
            "check", "Commit object", "Write the object into the labels layer and lock it"
        )
        self.all_button = GlyphButton(
            "check-all", "Commit all", "Commit every marked object that is not finished"
        )
        self.overwrite_check = QCheckBox("Over others")
        self.overwrite_check.setToolTip(
            "Let this object take pixels from committed ones; otherwise they are protected"
        )
        self.undo_button = GlyphButton("undo")
        self.redo_button = GlyphButton("redo")
        self.export_button = GlyphButton(
            "save", "Export labels ...", "Write the labels to a file, in the image's geometry"
        )
        self.layer_combo = QComboBox()
        self.layer_combo.setAccessibleName("Labels layer")
        self.layer_combo.setToolTip("The labels layer to import")
        self.layer_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.layer_combo.setMinimumContentsLength(8)
        self.objects_button = GlyphButton("load", "As objects", "Each label becomes an object")
        self.keyframes_button = GlyphButton(
            "load", "As keyframes", "Its slices become marks of the active object"
        )
        self.import_hint = Hint(NO_LABELS)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        self.bar = QWidget()
        commit = QHBoxLayout(self.bar)
        commit.setContentsMargins(0, 0, 0, 0)
        commit.addWidget(self.commit_button, 1)
        commit.addWidget(self.undo_button)
        commit.addWidget(self.redo_button)
        several = QHBoxLayout()
        several.addWidget(self.all_button, 1)
        several.addWidget(self.overwrite_check)
        imports = QWidget()
        grid = QGridLayout(imports)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(SPACING)
        grid.addWidget(self.layer_combo, 0, 0, 1, 2)
        grid.addWidget(self.objects_button, 1, 0)
        grid.addWidget(self.keyframes_button, 1, 1)
        grid.addWidget(self.import_hint, 2, 0, 1, 2)
        self.imports = Group("Import labels", imports, is_open=False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.bar)
        layout.addLayout(several)
        layout.addWidget(self.export_button)
        layout.addWidget(self.imports)

    def _connect(self) -> None:
        self.commit_button.clicked.connect(
            lambda: self.commit_asked.emit(self.overwrite_check.isChecked())
        )
        self.all_button.clicked.connect(
            lambda: self.commit_all_asked.emit(self.overwrite_check.isChecked())
        )
        self.undo_button.clicked.connect(self.undo)
        self.redo_button.clicked.connect(self.redo)
        self.export_button.clicked.connect(self._on_export)
        self.objects_button.clicked.connect(lambda: self.import_asked.emit(False))
        self.keyframes_button.clicked.connect(lambda: self.import_asked.emit(True))

    @property
    def import_key(self) -> Hashable | None:
        """Key of the labels layer that is chosen for import."""
        return self.layer_combo.currentData()

    def set_label_layers(self, layers: Sequence[tuple[Hashable, str]]) -> None:
        """Offer these labels layers, a sequence of (key, text), for import."""
        fill_combo(self.layer_combo, layers)
        self.refresh()

    def undo(self) -> None:
        """Take back the last step."""
        if self.session is not None:
            self.session.undo()

    def redo(self) -> None:
        """Do again what was undone."""
        if self.session is not None:
            self.session.redo()

    def refresh(self) -> None:
        """Enable what can be used; undo and redo say what they do."""
        session, active = self.session, self.active
        has_mask = active is not None and bool(active.prompts) and not active.is_locked
        objects = {} if session is None else session.objects
        is_any = any(o.prompts and not o.is_locked for o in objects.values())
        self.commit_button.setEnabled(has_mask)
        self.all_button.setEnabled(is_any)
        self.overwrite_check.setEnabled(has_mask or is_any)
        undo_text = "" if session is None else session.undo_text
        redo_text = "" if session is None else session.redo_text
        self._show_step(self.undo_button, "Undo", undo_text)
        self._show_step(self.redo_button, "Redo", redo_text)
        is_committed = session is not None and any(
            o.label_id is not None for o in session.objects.values()
        )
        self.export_button.setEnabled(is_committed)
        has_layer = session is not None and self.layer_combo.count() > 0
        self.layer_combo.setEnabled(has_layer)
        self.objects_button.setEnabled(has_layer)
        self.keyframes_button.setEnabled(has_layer and active is not None)
        self.import_hint.setVisible(not has_layer)

    @staticmethod
    def _show_step(button: GlyphButton, verb: str, text: str) -> None:
        button.setEnabled(bool(text))
        button.setToolTip(f"{verb}: {text}" if text else f"Nothing to {verb.lower()}")
        button.setAccessibleName(button.toolTip())

    def _on_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export labels", "labels.nii.gz", EXPORT_FILTER)
        if path:
            self.export_asked.emit(path)
