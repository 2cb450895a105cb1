"""The dock widget: image and box layers in, a labels layer out."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from napari.utils.notifications import notification_manager, show_error

from stacksam.core.errors import StackSAMError
from stacksam.core.volume import Volume
from stacksam.core.windows import PRESETS
from stacksam.plugin.layers import box_on_slice, grid_options, layer_to_volume
from stacksam.widgets.segment_widget import SegmentWidget

if TYPE_CHECKING:
    from stacksam.session import Session

BOX_LAYER = "StackSAM box"
LABELS_SUFFIX = "StackSAM labels"
LAYER_LIMITS = "contrast limits"  # the first choice: the model sees what the user sees


def open_session(volume: Volume, window: Any) -> "Session":
    """Make a Session on the built-in model; the imports wait until they are needed."""
    from stacksam.sam import load_model
    from stacksam.session import Session

    return Session(volume, load_model("compact"), window=window)


class SegmentStack(SegmentWidget):
    """`SegmentWidget` wired to the layers of a viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(windows=[LAYER_LIMITS, "auto", "full", *PRESETS])
        self._viewer = napari_viewer
        self._image: Image | None = None  # the one being segmented
        self.draw_requested.connect(self._on_draw)
        self.run_requested.connect(self._on_run)
        self.finished.connect(self._on_finished)
        self.failed.connect(self._on_failed)
        self.reset_choices()

    def reset_choices(self, event: Any = None) -> None:
        """Follow the layer list; napari calls this for a docked widget."""
        images = [layer.name for layer in self._viewer.layers if isinstance(layer, Image)]
        self.set_images(images)
        if images and not self.is_running and not self.status.text().startswith("Object"):
            self.status.setText("Draw a box around one object, then press Segment stack.")

    def _chosen_image(self) -> Image:
        return self._viewer.layers[self.image_box.currentText()]

    def _layer(self, name: str, kind: type) -> Any:
        found = (x for x in self._viewer.layers if x.name == name and isinstance(x, kind))
        return next(found, None)

    def _on_draw(self) -> None:
        """Give the user an empty box layer on the image's grid, ready to draw."""
        image, old = self._chosen_image(), self._layer(BOX_LAYER, Shapes)
        if old is not None:
            self._viewer.layers.remove(old)
        boxes = self._viewer.add_shapes(
            name=BOX_LAYER,
            ndim=image.ndim,
            edge_color="yellow",
            face_color="transparent",
            edge_width=max(1.0, min(self._label_shape(image)[-2:]) / 256),
            **grid_options(image),
        )
        boxes.mode = "add_rectangle"

    def _on_run(self) -> None:
        try:
            image = self._chosen_image()
            volume = layer_to_volume(image)
            axis, index, box = box_on_slice(self._layer(BOX_LAYER, Shapes), image)
        except ValueError as error:
            self._on_failed(error)
            return
        self._image = image
        window = self._window_of(image)
        self.start(lambda: open_session(volume, window), axis=axis, index=index, box_yxyx=box)

    def _window_of(self, image: Image) -> Any:
        choice = self.window_box.currentText()
        if choice != LAYER_LIMITS:
            return choice
        return "auto" if image.rgb else tuple(float(limit) for limit in image.contrast_limits)

    def _on_finished(self, result: Any) -> None:
        image, self._image = self._image, None
        mask = np.asarray(result.mask, dtype=bool)
        if image is None or not mask.any():
            self.status.setText("Nothing was found in the box. Draw a tighter one.")
            return
        n_slices = int(mask.any(axis=(1, 2)).sum())
        label_id = self._add_labels(image, mask.reshape(self._label_shape(image)))
        kept = "" if result.complete else " Cancelled; what was done is kept."
        self.status.setText(f"Object {label_id}: {n_slices} slices.{kept}")

    @staticmethod
    def _label_shape(image: Image) -> tuple[int, ...]:
        data = image.data[0] if image.multiscale else image.data
        return tuple(data.shape[: image.ndim])

    def _add_labels(self, image: Image, mask: np.ndarray) -> int:
        """Add the object under a new label; earlier objects keep their voxels."""
        name = f"{image.name} {LABELS_SUFFIX}"
        labels = self._layer(name, Labels)
        if labels is None or tuple(labels.data.shape) != mask.shape:
            empty = np.zeros(mask.shape, np.uint16)
            labels = self._viewer.add_labels(empty, name=name, **grid_options(image))
        label_id = int(np.max(labels.data)) + 1
        labels.data_setitem(np.nonzero(mask & (np.asarray(labels.data) == 0)), label_id)
        return label_id

    def _on_failed(self, error: Exception) -> None:
        """Show what a user can act on as one sentence; hand anything else to napari."""
        self._image = None
        if isinstance(error, StackSAMError | ValueError | TypeError | OSError | MemoryError):
            show_error(str(error) or type(error).__name__)
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)
