"""The dock widget at work in a viewer: which image, which session, which command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QApplication

from stacksam.core.errors import StackSAMError
from stacksam.plugin.commands import Commands
from stacksam.plugin.contrast import RIGHT, ContrastLink, drag_window, is_scan
from stacksam.plugin.coordinates import Grid, read_grid, to_data
from stacksam.plugin.desk import Desk
from stacksam.plugin.engine import INTERACTION, Engine
from stacksam.plugin.graphics import ContextGuard
from stacksam.plugin.keys import KeyBindings, cheat_sheet
from stacksam.plugin.labels_layer import LabelsLayer
from stacksam.plugin.later import Later
from stacksam.plugin.layers import layer_to_volume
from stacksam.plugin.models import Download, Prepared, fetch, load_and_warm, model_entries, prepare
from stacksam.plugin.orientation import Compass
from stacksam.plugin.placing import remove_layers
from stacksam.plugin.recovery import Recovery

if TYPE_CHECKING:
    from stacksam.session import Session
    from stacksam.widgets.dock import SegmentDock

FRAME_PAUSE = 200
"""Milliseconds that the time slider has to rest before the session of that time point opens."""

DOWNLOAD_PAUSE = 200
"""Milliseconds between two looks at a download."""

MODEL = "compact"
PLACE = ("scale", "translate", "rotate", "shear", "affine", "units")
"""Facts of a layer that say where it lies."""


class Workbench:
    """Connects a viewer and the dock, and opens a session for the image that is chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    dock : SegmentDock

    Attributes
    ----------
    desk : Desk or None
        The session that is open, with its layers.
    """

    def __init__(self, viewer: Any, dock: SegmentDock) -> None:
        self.viewer, self.dock = viewer, dock
        self.engine = Engine(self.fail)
        self.errands = Engine(self.fail)  # what may take long without being in anyone's way
        self.desk: Desk | None = None
        self.contrast: ContrastLink | None = None
        self.model_name = MODEL
        self._model: Any = None
        self._image: Any = None
        self._sessions: dict[tuple[Any, int, int], Session] = {}
        self._spare: list[Any] = []
        self._left: dict[str, Session] = {}  # of images that were removed, by fingerprint
        self._label_layers: dict[tuple[Any, int], LabelsLayer] = {}
        self._is_closed = False
        self._download = Download()
        self._download_timer = Later(self._show_download, repeats=True)
        self.graphics = ContextGuard(viewer, dock)
        self.compass = Compass(viewer)
        self.recovery = Recovery(self)
        self.commands = Commands(self)
        self.keys = KeyBindings(viewer, self.commands.run)
        self._frame_timer = Later(self._follow_time)
        self._layers_timer = Later(self._on_layers_changed)
        self._connect()
        dock.footer.set_keys(cheat_sheet())
        dock.window_panel.set_follow_layer(True)
        self._on_layers_changed()
        self.engine.submit(  # in the same thread: two threads cannot import torch at once
            model_entries, on_step=lambda found: dock.model.set_models(found, self.model_name)
        )
        self.recovery.offer()

    def _connect(self) -> None:
        viewer, dock = self.viewer, self.dock
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._on_layers_event)
        for name in ("point", "order", "ndisplay"):
            getattr(viewer.dims.events, name).connect(self._on_view_changed)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        dock.image.layer_chosen.connect(self.choose)
        dock.image.channel_chosen.connect(lambda index: self._choose_frame(channel=index))
        dock.image.time_chosen.connect(self._show_time)
        dock.model.model_chosen.connect(self.choose_model)
        dock.model.file_chosen.connect(self.choose_model)
        dock.model.cancel_asked.connect(lambda: self._download.cancel.set())
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._on_quit)

    @property
    def session(self) -> Session | None:
        """The session that is open."""
        return None if self.desk is None else self.desk.session

    def close(self, is_viewer_alive: bool = True) -> None:
        """Stop the threads and close the journals; let go of the viewer if it lives on."""
        if self._is_closed:
            return
        self._is_closed = True
        self._download.cancel.set()
        self._download_timer.stop()
        self._frame_timer.stop()
        self._layers_timer.stop()
        self.engine.close()
        self.errands.close()
        self._close_desk(is_viewer_alive)
        if is_viewer_alive:
            self._take_spare(ndim=-1)
        self.recovery.close()
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.disconnect(self._on_quit)
        if is_viewer_alive:
            self._disconnect()

    def _on_quit(self) -> None:
        self.close(is_viewer_alive=False)

    def _disconnect(self) -> None:
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.disconnect(self._on_layers_event)
        for name in ("point", "order", "ndisplay"):
            getattr(self.viewer.dims.events, name).disconnect(self._on_view_changed)
        if self._on_drag in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_drag)
        self.keys.close()
        self.compass.close()
        self.graphics.close()

    def fail(self, error: Exception) -> None:
        """Show what a user can act on as one sentence; hand anything else to napari."""
        from napari.utils.notifications import notification_manager, show_error

        if isinstance(error, StackSAMError | ValueError | TypeError | OSError | MemoryError):
            text = str(error) or type(error).__name__
            text = text[:1].upper() + text[1:].rstrip(".") + "."
            self.dock.show_message(text, is_error=True)
            if not isinstance(error, ValueError):
                show_error(text)
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)

    # Which image

    def images(self) -> list[Any]:
        """The image layers that can be segmented."""
        from napari.layers import Image

        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def choose(self, layer: Any, channel: int = 0, time: int | None = None) -> None:
        """Work on an image layer: open its session, or the one it had before."""
        try:
            grid = read_grid(layer, channel, self._time_of(layer) if time is None else time)
        except ValueError as error:
            self.fail(error)
            return
        self._close_desk()
        self._image = layer
        self.dock.image.set_layers([(i, i.name) for i in self.images()], layer)
        self._show_axes(grid)
        known = self._sessions.get((layer, grid.channel_index, grid.time_index))
        if known is not None:
            self._open(layer, grid, known)
            return
        self.dock.model.show_busy(None if self._model is not None else "Loading the model ...")
        volume, window = layer_to_volume(layer, grid), self._window_of(layer)
        self.engine.submit(
            lambda: prepare(volume, window, self._model or self.model_name),
            priority=INTERACTION,
            key="open",
            on_step=lambda found: self._on_prepared(layer, grid, found),
            on_error=self._on_not_prepared,
        )

    def choose_model(self, name: str) -> None:
        """Compute with another model from now on, by its name or the path of a file."""
        download = self._download = Download()
        self.dock.model.show_busy("Fetching the model ...")
        self._download_timer.start(DOWNLOAD_PAUSE)

        def load() -> None:
            self._download_timer.stop()
            self.dock.model.show_busy("Loading the model ...")
            self.engine.submit(
                lambda: load_and_warm(name),
                key="model",
                on_step=lambda model: self._on_model(name, model),
                on_error=self._on_not_prepared,
            )

        self.errands.submit(
            lambda: fetch(name, download),
            key="model",
            on_done=load,
            on_error=self._on_not_prepared,
        )

    def _on_model(self, name: str, model: Any) -> None:
        self._model, self.model_name = model, name
        self.dock.model.show_busy(None)
        self.dock.model.set_models(model_entries(name), name)
        for session in self._sessions.values():
            session.set_model(model)

    def _on_prepared(self, layer: Any, grid: Grid, found: Prepared) -> None:
        self._model = found.model
        self.dock.model.show_busy(None)
        self.recovery.keep(found.session, found.folder, found.trouble)
        session = self._left.pop(found.session.volume.fingerprint, found.session)
        self._sessions[(layer, grid.channel_index, grid.time_index)] = session
        if self._image is not None and self._image == layer:
            self._open(layer, grid, session)

    def _show_download(self) -> None:
        done, total = self._download.progress
        if done:
            self.dock.model.show_progress(done, total)

    def _on_not_prepared(self, error: Exception) -> None:
        from stacksam.sam.downloads import DownloadCancelled

        self._download_timer.stop()
        self.dock.model.show_busy(None)
        if isinstance(error, DownloadCancelled):
            self.dock.show_message(str(error))
        else:
            self.fail(error)

    def adopt(self, session: Session) -> None:
        """Go on with a session that was restored for the image that is open."""
        if self.desk is None:
            return
        layer, grid = self.desk.image, self.desk.grid
        self._close_desk()
        self._sessions[(layer, grid.channel_index, grid.time_index)] = session
        self._open(layer, grid, session)

    def _open(self, layer: Any, grid: Grid, session: Session) -> None:
        holder = self._label_layers.setdefault(
            (layer, grid.channel_index), LabelsLayer(self.viewer, layer)
        )
        self.desk = Desk(
            self.viewer,
            layer,
            grid,
            session,
            self.engine,
            self.dock,
            holder,
            self.fail,
            self.keys.bind_undo,
            self._take_spare(grid.ndim),
        )
        self.contrast = ContrastLink(self.desk)
        for name in PLACE:
            getattr(layer.events, name).connect(self._on_placed)
        self.dock.set_session(session)
        self.commands.refresh()
        self._on_view_changed()
        self.recovery.offer()

    def _close_desk(self, is_viewer_alive: bool = True) -> None:
        """Clear the desk; its layers wait for the next one."""
        if self.desk is None:
            return
        if is_viewer_alive:
            for name in PLACE:
                getattr(self.desk.image.events, name).disconnect(self._on_placed)
            if isalive(self.dock):
                self.dock.set_session(None)
        if self.contrast is not None:
            self.contrast.close()
        self._spare = self.desk.close()
        self.desk = self.contrast = None

    def _take_spare(self, ndim: int) -> list[Any]:
        """Layers that the desk before has left; those of other images' size are removed."""
        spare, self._spare = self._spare, []
        here = list(self.viewer.layers)
        spare = [x if any(x == layer for layer in here) else None for x in spare]
        remove_layers(self.viewer, [x for x in spare if x is not None and x.ndim != ndim])
        return [x if x is not None and x.ndim == ndim else None for x in spare]

    def _window_of(self, layer: Any) -> Any:
        follows = self.dock.window_panel.follow_layer and not layer.rgb
        return tuple(float(v) for v in layer.contrast_limits) if follows else "auto"

    # Which frame of it

    def _show_axes(self, grid: Grid) -> None:
        self.dock.image.set_axes(
            None if grid.channel is None else grid.shape[grid.channel],
            None if grid.time is None else grid.shape[grid.time],
            grid.channel_index,
            grid.time_index,
        )

    def _choose_frame(self, channel: int | None = None, time: int | None = None) -> None:
        if self.desk is not None:
            grid = self.desk.grid
            self.choose(
                self.desk.image,
                grid.channel_index if channel is None else channel,
                grid.time_index if time is None else time,
            )

    def _slider(self, layer: Any, axis: int) -> float:
        return float(to_data(self.viewer, layer, self.viewer.dims.point)[axis])

    def _time_of(self, layer: Any) -> int:
        """The time point on the screen."""
        grid = read_grid(layer)
        return 0 if grid.time is None else round(self._slider(layer, grid.time))

    def _follow_time(self) -> None:
        """Open the session of the time point that the slider rests on."""
        desk = self.desk
        if desk is not None and desk.grid.time is not None:
            index = self._time_of(desk.image)
            if index != desk.grid.time_index:
                self._choose_frame(time=index)

    def _show_time(self, index: int) -> None:
        """Turn the slider to a time point; the session follows."""
        desk = self.desk
        if desk is not None and desk.grid.time is not None:
            desk.move_slider(desk.grid.time, index)
            self._frame_timer.stop()
            self._choose_frame(time=index)

    # What happens in the viewer

    def _on_layers_event(self, event: Any = None) -> None:
        if not self._is_closed:
            self._layers_timer.start()  # napari, or one of us, is still in the middle of it

    def _on_layers_changed(self) -> None:
        images = self.images()
        if self._image is not None and not any(self._image == layer for layer in images):
            self._forget_image()
        self.dock.image.set_layers([(i, i.name) for i in images], self._image)
        if self.desk is not None:
            self.desk.on_layers_changed(list(self.viewer.layers))
            self._on_view_changed()
        self.commands.refresh()
        if self._image is None and images:
            active = self.viewer.layers.selection.active
            self.choose(active if any(active == i for i in images) else images[0])

    def _forget_image(self) -> None:
        """The image was removed; the work on it goes on if it is opened again."""
        gone, self._image = self._image, None
        self.engine.cancel("open")
        self._close_desk()
        self._take_spare(ndim=-1)
        for key in [k for k in self._sessions if k[0] == gone]:
            session = self._sessions.pop(key)
            self._left[session.volume.fingerprint] = session
        for label_key in [k for k in self._label_layers if k[0] == gone]:
            del self._label_layers[label_key]

    def _on_view_changed(self, event: Any = None) -> None:
        desk = self.desk
        if self._is_closed or desk is None or self.viewer.dims.ndim < desk.grid.ndim:
            return
        if desk.grid.time is not None and self._time_of(desk.image) != desk.grid.time_index:
            self._frame_timer.start(FRAME_PAUSE)
        desk.on_view_changed()
        view = desk.view
        if view is not None:
            self.dock.propagation.set_range_limits(desk.session.volume.n_slices(view.axis))
        self.compass.show(desk.image, desk.grid)
        if self.contrast is not None:
            self.contrast.show_preview()

    def _on_placed(self, event: Any = None) -> None:
        if self.desk is not None:
            self.desk.replace_layers()

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Background work waits while a button is down; the right one changes the window."""
        self.engine.hold_background(True)
        try:
            if event.button == RIGHT and self._can_drag_window():
                yield from drag_window(self.viewer, self.desk.image, event)  # type: ignore[union-attr]
            else:
                yield
                while event.type == "mouse_move":
                    yield
        finally:
            self.engine.hold_background(False)

    def _can_drag_window(self) -> bool:
        desk = self.desk
        if desk is None or not is_scan(desk.image) or self.viewer.dims.ndisplay != 2:
            return False
        return desk.mode != "paint"  # napari paints with the right button, too
