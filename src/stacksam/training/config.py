"""Training settings: one TOML file, one frozen dataclass per table."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stacksam.sam.model import CompactConfig


@dataclass(frozen=True)
class DataConfig:
    """Where training images come from.

    Attributes
    ----------
    folder : Path
        Data laid out as in its README, with SPLIT.json.
    pack : Path
        The file that packing writes and training reads.
    synthetic_images, synthetic_volumes, synthetic_patients : int
        Generated ones; patients are CT abdomens.
    synthetic_share : float in [0, 1]
        Of all samples.
    patient_share : float in [0, 1]
        Of the synthetic ones: CT abdomens.
    leave_out : tuple of str
        Data sets in the pack that are not trained on, to see how much that matters.
    pack_mib : float
        Size limit of the pack in MiB, to take it to another machine; 0 is none. With a limit the
        largest data sets are thinned out, and generated items are drawn where the training runs.
    """

    folder: Path
    pack: Path
    synthetic_images: int = 3000
    synthetic_volumes: int = 160
    synthetic_patients: int = 48
    synthetic_share: float = 0.3
    patient_share: float = 0.33
    leave_out: tuple[str, ...] = ()
    pack_mib: float = 0

    @property
    def generated(self) -> Path:
        """Where generated items are kept if the pack has a limit."""
        counts = self.synthetic_images, self.synthetic_volumes, self.synthetic_patients
        return self.pack.with_name("generated-{}-{}-{}.npz".format(*counts))


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to train; the run folder holds checkpoints and the log.

    Attributes
    ----------
    run_folder : Path
    start_weights : Path or None
        A compact model's safetensors file to begin with; without it, training begins from nothing.
    optimizer : {"muon", "adamw"}
    workers : int
        Processes that draw samples, for a GPU that one thread cannot feed; 0 is a thread.
    device : str
        Like ``cpu`` or ``cuda``.
    """

    run_folder: Path
    start_weights: Path | None = None
    optimizer: str = "muon"
    seed: int = 0
    steps: int = 6000
    images_per_step: int = 16
    objects_per_image: int = 2
    rounds: int = 2
    learning_rate: float = 1.2e-3
    warmup_steps: int = 150
    decay_share: float = 0.35
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    checkpoint_every: int = 100
    validate_every: int = 500
    workers: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Config:
    """Everything a training depends on."""

    data: DataConfig
    train: TrainConfig
    model: CompactConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; paths by their last part only, since folders can name people."""
        tables = {"data": asdict(self.data), "train": asdict(self.train)}
        for table in tables.values():
            for key, value in table.items():
                if isinstance(value, Path):
                    table[key] = value.name
                elif isinstance(value, tuple):
                    table[key] = list(value)
        return {**tables, "model": self.model.to_dict()}


def load_config(path: str | Path) -> Config:
    """Read a training configuration.

    Parameters
    ----------
    path : str or Path
        A TOML file with the tables data, train and model; relative paths in it start at its folder.

    Returns
    -------
    config : Config

    Raises
    ------
    ValueError
        If the file is not TOML or a key is unknown, missing or of the wrong type.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is not valid TOML: {error}") from None
    base = path.resolve().parent
    try:
        data, train = dict(tables["data"]), dict(tables["train"])
        for table, keys in ((data, ("folder", "pack")), (train, ("run_folder",))):
            for key in keys:
                table[key] = (base / table[key]).resolve()
        if "start_weights" in train:
            train["start_weights"] = (base / train["start_weights"]).resolve()
        if isinstance(data.get("leave_out"), list):
            data["leave_out"] = tuple(data["leave_out"])
        model = CompactConfig.from_dict(tables.get("model", {}))
        config = Config(DataConfig(**data), TrainConfig(**train), model)
        for part in (config.data, config.train, config.model):
            _check_types(part)
        return config
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} does not describe a training: {error}") from None


def _check_types(table: DataConfig | TrainConfig | CompactConfig) -> None:
    known: dict[str, type | tuple[type, ...]]
    known = {
        "int": int,
        "float": (int, float),
        "str": str,
        "Path": Path,
        "Path | None": (Path, type(None)),
        "tuple[int, ...]": tuple,
        "tuple[str, ...]": tuple,
    }
    for field in fields(table):
        value = getattr(table, field.name)
        entries = value if isinstance(value, tuple) else ()
        entry_type = str if "str" in str(field.type) else int
        is_right = isinstance(value, known[str(field.type)]) and not isinstance(value, bool)
        if not is_right or not all(type(entry) is entry_type for entry in entries):
            raise TypeError(f"{field.name} is {value!r}; expected {field.type}")
