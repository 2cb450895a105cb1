"""The command line: every subcommand is one call into a layer below."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stacksam.core.errors import StackSAMError

app = typer.Typer(
    help="Prompt once, get the whole stack. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="The models StackSAM knows.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Model = Annotated[str, typer.Option(help="A name from 'models list' or a checkpoint file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
SessionFolder = Annotated[Path, typer.Argument(help="A session folder.")]
SessionImage = Annotated[
    str | None,
    typer.Option(help="What the session was made on [the image of its name beside the folder]."),
]
ModelName = Annotated[str, typer.Argument(help="A name from 'models list'.")]
Overlap = Annotated[
    Literal["keep", "overwrite", "ask"],
    typer.Option(help="What becomes of voxels of an earlier object that a later one covers."),
]
WholeSlice = Annotated[
    bool,
    typer.Option("--whole-slice", help="Use a SAM as published: whole slices, no zooming in."),
]


def main() -> None:
    """Run the command ``stacksam``."""
    app(prog_name="stacksam")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        import stacksam

        typer.echo(f"stacksam {stacksam.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    ctx.obj = debug


@app.command()
def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for labels and picture.")] = Path(
        "stacksam-demo"
    ),
    gui: Annotated[bool, typer.Option("--gui", help="Open the result in napari.")] = False,
    model: Model = "compact",
    device: Device = "auto",
) -> None:
    """Segment both shipped samples: labels, Dice against the truth, one picture."""
    with _in_a_sentence(ctx, f"Files that were finished stay in {out.name}."):
        if gui:
            _need_napari()
        with _progress("Segmenting") as progress:
            from stacksam.evaluation.demo import run_demo

            figures = run_demo(out, model=model, device=device, progress=progress)
        typer.echo(_demo_text(figures))
        if gui:
            from stacksam.plugin.demo_viewer import show_demo

            show_demo(figures["labels"])


def _confirmed(fact: str) -> bool:
    return typer.confirm(f"{fact}. Take them?")


@app.command()
def segment(
    ctx: typer.Context,
    image: Annotated[
        str, typer.Argument(help="NIfTI, NRRD, MHA, TIFF, PNG ... file, or address of a Zarr.")
    ],
    prompts: Annotated[Path, typer.Option(help="prompts.json: what to segment.")],
    out: Annotated[Path, typer.Option(help="Label file; its extension chooses the format.")],
    model: Model = "compact",
    window: Annotated[
        str | None,
        typer.Option(
            help="auto, full, a preset such as ct-liver, or LOW,HIGH [the file's or auto]."
        ),
    ] = None,
    axis: Annotated[
        int | None,
        typer.Option(min=0, max=2, help="Propagate along z (0), y (1) or x (2) [the prompts']."),
    ] = None,
    device: Device = "auto",
    whole_slice: WholeSlice = False,
    overlap: Overlap = "keep",
    slices: Annotated[
        str | None, typer.Option(help="FIRST-LAST, both included: propagate on these only.")
    ] = None,
    inside_boxes: Annotated[
        bool,
        typer.Option("--inside-boxes", help="Keep objects inside their boxes on every slice."),
    ] = False,
) -> None:
    """Segment a stack from a file of prompts, in the image's geometry."""
    with _in_a_sentence(ctx, f"{out.name} was not written."), _progress("Segmenting") as progress:
        from stacksam.session import segment_file

        segment_file(
            image,
            prompts,
            out,
            model=model,
            window=_parse_window(window),
            axis=axis,
            device=device,
            whole_slice=whole_slice,
            overlap=overlap,
            z_range=_parse_slices(slices),
            inside="boxes" if inside_boxes else None,
            ask=_confirmed if sys.stdin.isatty() else None,
            progress=progress,
        )
    typer.echo(f"Wrote {out}")


@app.command()
def restore(
    ctx: typer.Context,
    folder: SessionFolder,
    out: Annotated[Path, typer.Option(help="Label file; its extension chooses the format.")],
    image: SessionImage = None,
) -> None:
    """Write the labels of a saved session, or of one whose program was ended in mid-work."""
    with _in_a_sentence(ctx, f"{out.name} was not written."):
        from stacksam.session.recover import restore_labels

        content = restore_labels(folder, out, image)
    for note in content.notes:
        typer.echo(f"stacksam: {note}", err=True)
    typer.echo(f"Wrote {out} ({len(content.snapshot.state.objects)} objects)")


@app.command()
def replay(
    ctx: typer.Context,
    folder: SessionFolder,
    out: Annotated[
        Path | None, typer.Option(help="Also write the labels that were computed again.")
    ] = None,
    image: SessionImage = None,
    device: Device = "auto",
) -> None:
    """Compute a session again from its prompts and compare the labels with those it holds."""
    with _in_a_sentence(ctx), _progress("Replaying") as progress:
        from stacksam.session.recover import replay_labels

        replayed = replay_labels(folder, out, image, device=device, progress=progress)
    same = "the labels are identical"
    different = f"{replayed.n_different} voxels have another label"
    typer.echo(f"Replayed {replayed.n_steps} steps; {different if replayed.n_different else same}")
    if replayed.n_different:
        raise typer.Exit(1)


@app.command()
def evaluate(
    ctx: typer.Context,
    data: Annotated[Path, typer.Argument(help="Folder with SPLIT.json, or a data set inside it.")],
    protocol: Annotated[
        str, typer.Option(help="click, box, iterative, propagate, propagate-k or interpolate.")
    ],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Objects per data set.")] = None,
    seed: Annotated[int, typer.Option(help="Decides which objects.")] = 0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also measure methods without a model.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write every figure here.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw curves and sample objects here (PNG).")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="click and box: also calibrate the predicted IoU on val, and draw it here (PNG)."
        ),
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="On stacks: keep only every so many slices.")
    ] = 1,
    kept_at: Annotated[
        int | None,
        typer.Option(
            min=1, help="On stacks: objects and scored slices as with this --every [--every]."
        ),
    ] = None,
    model: Model = "compact",
    device: Device = "auto",
    whole_slice: WholeSlice = False,
) -> None:
    """Measure a model on objects with known truth, by simulated prompts."""
    with _in_a_sentence(ctx, "Nothing was written."):
        for drawn in (picture, calibration):
            if drawn is not None and drawn.suffix.lower() != ".png":
                raise ValueError(f"the picture is {drawn.name}; choose a name that ends in .png")
        with _progress("Measuring") as progress:
            import stacksam
            from stacksam.evaluation import evaluate as run

            loaded = stacksam.load_model(model, device=device, whole_slice=whole_slice)
            report = run(
                data,
                loaded,
                protocol,
                split,
                limit,
                seed,
                baselines,
                progress,
                every=every,
                kept_at=kept_at,
                calibrate=calibration is not None,
            )
        typer.echo(report.to_text())
        if json_file is not None:
            _write_json(json_file, report.to_dict())
        if picture is not None:
            _write_picture(picture, report.to_picture())
        if calibration is not None and report.calibration is not None:
            title = f"{protocol} on {split}, model {report.model}"
            _write_picture(calibration, report.calibration.to_picture(title))


@app.command()
def measure(
    ctx: typer.Context,
    labels: Annotated[
        str, typer.Argument(help="Label image, DICOM SEG, or RTSTRUCT (with --image).")
    ],
    out: Annotated[Path, typer.Option(help="Table: .csv or .parquet.")],
    image: Annotated[
        str | None, typer.Option(help="What the labels belong to; adds intensities.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help='JSON file of names by label id, {"1": "liver"}.')
    ] = None,
) -> None:
    """Measure every labelled object: volume, size, shape, intensities; count them."""
    with _in_a_sentence(ctx, f"{out.name} was not written."):
        with _progress("Measuring") as progress:
            from stacksam.measurement import measure_file

            rows, counts = measure_file(labels, out, image=image, names=names, progress=progress)
        for figure, value in counts.items():
            typer.echo(f"{figure}: {value:.6g}")
        typer.echo(f"Wrote {out} ({len(rows)} objects)")


@app.command()
def train(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="TOML file that describes the training.")],
    steps: Annotated[int | None, typer.Option(help="Stop after this step of the schedule.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
) -> None:
    """Train the compact model; a run that was stopped goes on where its last checkpoint is."""
    kept = "The last checkpoint is kept; the same command goes on from it."
    with _in_a_sentence(ctx, kept):
        from stacksam.training.loop import train as run

        weights = run(config, steps=steps, minutes=minutes, progress=typer.echo)
        typer.echo(f"Wrote {weights}")
        try:
            from stacksam.evaluation.training_curves import training_picture
        except ImportError as error:  # a bare machine with a GPU
            typer.echo(f"curves.png is left out ({error}); draw it where {weights.name} goes")
            return
        training_picture(weights.with_name("log.jsonl")).save(weights.with_name("curves.png"))
        typer.echo("Wrote curves.png beside it")


@app.command()
def export(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A name from 'models list' or a checkpoint file.")],
    onnx: Annotated[Path, typer.Option(help="Folder for encoder, decoder and description.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Compute the encoder in 8 bits: faster, less exact.")
    ] = False,
) -> None:
    """Write a model as ONNX; the folder can be used as a model again."""
    with _in_a_sentence(ctx, f"{onnx.name} was not written."):
        import stacksam
        from stacksam.sam.onnx_export import export_onnx

        export_onnx(stacksam.load_model(model, device="cpu", dtype="float32"), onnx, int8=int8)
        typer.echo(f"Wrote {onnx}; use it with --model {onnx}")


@app.command()
def embeddings(
    ctx: typer.Context,
    keep: Annotated[
        float | None, typer.Option(min=0, help="Remove the oldest until so many GB are left.")
    ] = None,
) -> None:
    """Tell what the folder in STACKSAM_EMBEDDINGS holds; with --keep 0 remove it all."""
    with _in_a_sentence(ctx):
        from stacksam.sam.kept_embeddings import VARIABLE, embedding_files

        files = embedding_files()
        if files is None:
            raise StackSAMError(
                f"no embeddings are kept on disk: the variable {VARIABLE} names no folder"
            )
        if keep is not None:
            typer.echo(f"Removed {files.clean(int(keep * 2**30)) / 2**20:.0f} MB")
        count, size = files.used()
        typer.echo(f"{count} embeddings, {size / 2**20:.0f} MB")


@models_app.command("list")
def models_list(ctx: typer.Context) -> None:
    """List the models by name."""
    with _in_a_sentence(ctx):
        from stacksam.sam import list_models

        for entry in list_models():
            here = "here" if entry.is_here else ""
            typer.echo(f"{entry.name:<27}{here:<6}{entry.licence_text}: {entry.summary}")


@models_app.command("info")
def models_info(ctx: typer.Context, name: ModelName) -> None:
    """Tell what is known of a model: licence, source, size, checksum, and whether it is here."""
    with _in_a_sentence(ctx):
        from stacksam.sam import describe_model

        for key, value in describe_model(name).items():
            typer.echo(f"{key + ':':<13}{value}")


@models_app.command("download")
def models_download(
    ctx: typer.Context,
    name: ModelName,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept a non-commercial licence without asking.")
    ] = False,
) -> None:
    """Fetch a model from its publisher; an interrupted download goes on where it stopped."""
    with _in_a_sentence(ctx, "What has arrived is kept; the same command goes on from it."):
        from stacksam.sam import download_model, find_model

        entry = find_model(name)
        size = f", {entry.size / 1e6:.0f} MB" if entry.size else ""
        typer.echo(f"{name}: licence {entry.licence_text}{size}, from {entry.page}")
        if entry.is_non_commercial and not yes:
            typer.confirm("For non-commercial use only. Go on?", abort=True)
        with _progress("Downloading (MB)") as progress:
            path = download_model(
                name, progress=lambda done, total: progress(done // 10**6, total // 10**6)
            )
        typer.echo(f"{path.name} is here; use it with --model {name}")


@models_app.command("import")
def models_import(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Checkpoint: .pth, .pt, .safetensors ...")],
    name: Annotated[
        str | None,
        typer.Option(help="A known model, or a new name [told by the file's name]."),
    ] = None,
    family: Annotated[
        str, typer.Option(help="medsam for fine-tunes of MedSAM [told by the file].")
    ] = "",
    licence: Annotated[str, typer.Option(help="Of a new model's weights.")] = "",
) -> None:
    """Take over a checkpoint that was fetched by hand, or trained."""
    with _in_a_sentence(ctx, "Nothing was imported."):
        from stacksam.sam import import_model

        entry = import_model(file, name, family=family, licence=licence)
        typer.echo(f"{file.name} is here; use it with --model {entry.name}")


@contextmanager
def _in_a_sentence(ctx: typer.Context, kept: str = "") -> Iterator[None]:
    """Turn what a user can act on into one sentence and exit code 1, Ctrl-C into 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {kept}".rstrip(), err=True)
        raise typer.Exit(130) from None
    except (StackSAMError, ValueError, OSError, MemoryError) as error:
        if ctx.obj:
            traceback.print_exc()
        typer.echo(f"stacksam: {_sentence(error)}", err=True)
        raise typer.Exit(1) from None


def _sentence(error: Exception) -> str:
    """The error's own words; of an operating system error the reason and the file's last name."""
    if isinstance(error, OSError) and not isinstance(error, StackSAMError) and error.strerror:
        name = Path(str(error.filename)).name if error.filename else "a file"
        return f"{name}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory; close other programs or crop the image"
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _progress(text: str) -> Iterator[Callable[..., None]]:
    """Show a bar on stderr; what is yielded takes (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    bars = Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        task = bars.add_task(text, total=None)

        def report(done: int, total: int, *_: Any) -> None:
            bars.update(task, completed=done, total=total)

        yield report


def _parse_window(text: str | None) -> str | tuple[float, float] | None:
    """Read LOW,HIGH as numbers and leave names to `resolve_window`."""
    if text is None or "," not in text:
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"window is {text!r}; give a name or two numbers, --window=LOW,HIGH"
        ) from None
    return low, high


def _parse_slices(text: str | None) -> tuple[int, int] | None:
    """Read FIRST-LAST as a half-open range."""
    if text is None:
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(f"slices is {text!r}; give two numbers, --slices=FIRST-LAST")
    return int(first), int(last) + 1


def _demo_text(figures: dict[str, Any]) -> str:
    lines = []
    for name, sample in figures["samples"].items():
        says = f"{sample['prompts']} prompts, mean Dice {sample['mean']:.3f}"
        lines.append(f"{name}: {says}, labels in {figures['labels'][name]}")
        lines += [f"  {score:.3f}  {obj}" for obj, score in sample["dice"].items()]
    return "\n".join([*lines, f"picture: {figures['picture']}"])


def _need_napari() -> None:
    from importlib.util import find_spec

    if find_spec("napari") is None:
        raise StackSAMError('napari is not installed; pip install "napari-stacksam[gui]" brings it')


def _write_picture(path: Path, picture: Any) -> None:
    from stacksam.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        picture.save(temporary)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    from stacksam.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
