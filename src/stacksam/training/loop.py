"""The training loop: seeded, logged, resumable to the bit on one CPU.

Needs torch, numpy, scipy, safetensors and the pack only, so that it also runs on a bare machine
with a GPU; what reads images is imported when a pack has to be made.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from stacksam.core.errors import CheckpointError
from stacksam.core.simulated_prompts import corrective_click
from stacksam.propagation.appearance import Appearance, context_maps
from stacksam.sam.checkpoints import load_compact
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.model import PromptableModel, build_compact
from stacksam.sam.prompt_encoder import NEGATIVE, PADDING, POSITIVE
from stacksam.training.config import Config, DataConfig, TrainConfig, load_config
from stacksam.training.datasets import SampleSource, collate
from stacksam.training.depthwise import quicken_depthwise
from stacksam.training.losses import RoundLoss, round_loss
from stacksam.training.optimizers import make_optimizers
from stacksam.training.packs import PackedItem, read_pack
from stacksam.training.sample_prompts import KINDS

Progress = Callable[[str], None]
VALIDATION_SEED = 7_000_000

LEAST_HANDED = 0.4
"""IoU that a mask must have to be handed on to the next slice in training."""


def train(
    config_path: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Pack the data if there is no pack yet, then train, or go on where the last run stopped.

    Parameters
    ----------
    config_path : path of a TOML file, see `load_config`
    steps : int, optional
        Stop after this step of the schedule; the schedule itself stays as configured.
    minutes : float, optional
        Stop after the step in which so much time has passed since the call; the next one goes on.
    progress : callable, optional
        Called with a line of text now and then.

    Returns
    -------
    weights : Path
        The averaged weights as half-precision safetensors, in the run folder.
    """
    end = float("inf") if minutes is None else time.perf_counter() + 60 * minutes
    config = load_config(config_path)
    say = progress or (lambda line: None)
    make_missing(config, say)
    trainer = Trainer(config)
    last = min(steps or config.train.steps, config.train.steps)
    say(f"training from step {trainer.step} to {last}")
    trainer.run(last, say, end)
    return trainer.export()


def make_missing(config: Config, say: Progress) -> None:
    """Pack the data and draw the generated items, whichever is not there yet."""
    data = config.data
    if not data.pack.exists():
        from stacksam.training.packing import pack

        say("packing the training data")
        pack(data, say)
    if data.pack_mib and not data.generated.exists():
        from stacksam.training.generated import generated_items
        from stacksam.training.packs import write_pack

        say("drawing the generated items")
        write_pack(data.generated, generated_items(data, config.train.workers))


class Trainer:
    """A training run: model, average, optimiser and step; everything else follows from the seed."""

    def __init__(self, config: Config) -> None:
        self.config = config
        settings = config.train
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        items = _without(_read_items(config.data), config.data.leave_out)
        self.source = self._source([i for i in items if i.split == "train"])
        self.validation = self._source([i for i in items if i.split == "val"])
        self.model = _channels_last(build_compact(config.model)).to(self.device)
        self.average = _channels_last(build_compact(config.model)).to(self.device)
        if settings.start_weights:
            _take_over(self.model, load_compact(settings.start_weights)[0])
        self.average.load_state_dict(self.model.state_dict())
        quicken_depthwise(self.model)
        self.optimizers = make_optimizers(
            self.model,
            settings.optimizer,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.step = 0
        settings.run_folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    def _source(self, items: list[PackedItem]) -> SampleSource:
        return SampleSource(
            items,
            input_size=self.config.model.input_size,
            objects_per_image=self.config.train.objects_per_image,
            synthetic_share=self.config.data.synthetic_share,
            patient_share=self.config.data.patient_share,
        )

    @property
    def _checkpoint(self) -> Path:
        return self.config.train.run_folder / "checkpoint.pt"

    def run(self, last: int, say: Progress, end: float = float("inf")) -> None:
        """Train up to step `last`, or until `time.perf_counter` says `end`."""
        settings, started, first = self.config.train, time.perf_counter(), self.step
        log: list[dict[str, float]] = []
        self.model.train()
        for batch in self._batches(self.step, last):
            log.append(self._train_step(batch))
            self.step += 1
            is_over = self.step == last or time.perf_counter() >= end
            if self.step % 20 == 0 or is_over:
                seconds = (time.perf_counter() - started) / (self.step - first)
                self._write_log(_mean_of(log) | {"seconds_per_step": seconds}, say)
                log = []
            if self.step % settings.checkpoint_every == 0 or is_over:
                self._save()
            if self.step % settings.validate_every == 0 or self.step == last:
                self._write_log(self.validate(), say)
            if is_over:
                break

    def _batches(self, first: int, last: int) -> Iterator[dict[str, Tensor]]:
        """Batches of the steps, drawn ahead."""
        batches, workers = _Batches(self.source, self.config.train), self.config.train.workers
        steps = range(first, last)
        for batch in (
            _by_processes(batches, steps, workers) if workers else _by_a_thread(batches, steps)
        ):
            yield {k: torch.from_numpy(v).to(self.device) for k, v in batch.items()}

    def _train_step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        settings = self.config.train
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.step, settings)
        with torch.autocast(self.device.type, torch.bfloat16):
            rounds = play_rounds(
                self.model,
                batch,
                settings.rounds,
                np.random.default_rng((settings.seed, self.step)),
            )
        loss = torch.stack([r.total for r in rounds]).sum()
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self._update_average()
        return {"loss": float(loss.detach()), "norm": float(norm)} | _figures(batch, rounds)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.train.ema_decay, (1 + self.step) / (10 + self.step))
        for averaged, current in zip(
            self.average.parameters(), self.model.parameters(), strict=True
        ):
            averaged.lerp_(current, 1 - decay)
        for kept, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(buffer)

    @torch.no_grad()
    def validate(self, batches: int = 24) -> dict[str, float]:
        """Mean IoU by kind of prompt on the val side, with the averaged weights."""
        figures = []
        for number in range(batches):
            seeds = [(VALIDATION_SEED, number, i) for i in range(8)]
            samples = [self.validation.draw(s, is_augmented=False) for s in seeds]
            batch = {k: torch.from_numpy(v).to(self.device) for k, v in collate(samples).items()}
            rounds = play_rounds(
                self.average, batch, 3, np.random.default_rng((VALIDATION_SEED, number))
            )
            figures.append(_figures(batch, rounds))
        return {f"val_{k}": v for k, v in _mean_of(figures).items()}

    def _write_log(self, figures: dict[str, float], say: Progress) -> None:
        figures = {"step": self.step} | {k: round(v, 4) for k, v in figures.items()}
        with open(self.config.train.run_folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
        say("  ".join(f"{k} {v:g}" for k, v in figures.items()))

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        temporary = self._checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self._checkpoint)

    def _resume(self) -> None:
        try:
            state = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
            self.step = state["step"]
        except (RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as error:
            raise CheckpointError(
                "checkpoint.pt in the run folder is damaged or of another model; choose another "
                "run folder, or delete the file to start anew"
            ) from error

    def export(self) -> Path:
        """Write the averaged weights as half-precision safetensors."""
        from stacksam.sam.checkpoints import save_compact

        path = self.config.train.run_folder / "compact.safetensors"
        save_compact(path, self.average, self.config.model, self._description())
        return path

    def _description(self) -> dict[str, Any]:
        items = [i.dataset for i in self.source.items]
        return {
            "steps": self.step,
            "config": self.config.to_dict(),
            "data": {name: items.count(name) for name in sorted(set(items))},
        }


class _Batches(Dataset[dict[str, np.ndarray]]):
    """The batch of each step, which follows from the seed and the step alone."""

    def __init__(self, source: SampleSource, settings: TrainConfig) -> None:
        self.source, self.seed, self.count = source, settings.seed, settings.images_per_step

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        pairs = range((self.count + 1) // 2)
        twos = [self.source.draw_two((self.seed, step, i)) for i in pairs]
        return collate([sample for two in twos for sample in two][: self.count])


def _by_a_thread(batches: _Batches, steps: range) -> Iterator[dict[str, np.ndarray]]:
    """Batches of some steps, drawn one ahead."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batches.__getitem__, steps.start)
        for step in steps:
            batch, ahead = ahead.result(), pool.submit(batches.__getitem__, step + 1)
            yield batch


def _by_processes(batches: _Batches, steps: range, workers: int) -> Iterator[dict[str, np.ndarray]]:
    """The same batches in the same order, drawn by several processes."""
    yield from DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        collate_fn=_as_it_is,  # arrays through pipes: containers are short of shared memory
        generator=torch.Generator(),  # leaves the global one alone
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def learning_rate(step: int, settings: TrainConfig) -> float:
    """Warm up, hold, then fall linearly to zero over the last part of the steps."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    left = (settings.steps - step) / max(1.0, settings.decay_share * settings.steps)
    return settings.learning_rate * min(warm, left, 1.0)


def play_rounds(
    model: PromptableModel, batch: dict[str, Tensor], rounds: int, rng: np.random.Generator
) -> list[RoundLoss]:
    """Prompt, look at the error, click on it, prompt again.

    Parameters
    ----------
    model : PromptableModel
    batch : dict
        See `collate`.
    rounds : int
    rng : numpy Generator
        Decides which neighbour masks stay as prompts after a correction.
    """
    embedding = model.encode(batch["image"].contiguous(memory_format=torch.channels_last))
    repeats = len(batch["truth"]) // len(batch["image"])
    embedding = _repeat(embedding, repeats)
    points, labels, logits = batch["points"], batch["labels"], batch["logits"]
    is_neighbour, truth, context = batch["is_neighbour"], batch["truth"], batch["context"]
    weight = torch.ones(len(truth), device=truth.device)
    is_handed = is_neighbour
    is_ambiguous = batch["kind"] == KINDS.index("click")
    played: list[RoundLoss] = []
    for number in range(rounds):
        output = model.decode(
            embedding,
            (points, labels),
            masks=logits,
            is_neighbour=is_neighbour,
            context=context,
        )
        played.append(round_loss(output, truth, is_ambiguous, is_handed, weight, batch["unseen"]))
        if number + 1 == rounds:
            break
        clicks, click_labels = _correct(played[-1].logits, truth)
        keep = torch.from_numpy(rng.random(len(truth)) < 0.4).to(truth.device) & is_neighbour
        logits = torch.where(keep[:, None, None, None], logits, played[-1].logits[:, None])
        is_neighbour = keep
        is_ambiguous = torch.zeros_like(is_ambiguous)
        weight = (truth.flatten(1).amax(1) > 0.5).float()  # nobody corrects an absent object
        is_handed = torch.zeros_like(is_neighbour)
        if number == 0 and bool(batch["follows"].any()):
            is_handed, handed, context = _hand_on(batch, played[-1], repeats)
            logits = torch.where(is_handed[:, None, None, None], handed, logits)
            is_neighbour = is_neighbour | is_handed
            weight = torch.where(is_handed, torch.ones_like(weight), weight)
            click_labels = click_labels.masked_fill(is_handed, PADDING)
        points = torch.cat([points, clicks[:, None]], 1)
        labels = torch.cat([labels, click_labels[:, None]], 1)
    return played


def _hand_on(
    batch: dict[str, Tensor], before: RoundLoss, repeats: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The model's own masks of the slices before: which objects get one, logits, context maps.

    Masks that found something else are not handed on: nobody could tell what is asked for.
    """
    handed, iou = before.logits.roll(repeats, 0), before.iou.roll(repeats, 0)
    is_handed = batch["follows"] & (iou >= LEAST_HANDED)
    context = batch["context"].clone()
    for i in torch.nonzero(is_handed)[:, 0].tolist():
        image, known = (batch["image"][i // repeats - k, 0].cpu().numpy() for k in (0, 1))
        logits = handed[i].cpu().numpy()
        maps = context_maps(image, known, Appearance.of(known, logits), len(logits))
        context[i] = torch.from_numpy(maps).to(context.device)
    return is_handed, handed[:, None], context


def _correct(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """A click on each mask's largest error, in input pixels; padding where all is right."""
    predicted, wanted = (logits > 0).cpu().numpy(), (truth > 0.5).cpu().numpy()
    points = np.zeros((len(wanted), 2), np.float32)
    labels = np.full(len(wanted), PADDING, np.float32)
    for i in range(len(wanted)):
        click = corrective_click(wanted[i], predicted[i])
        if click is not None:
            (y, x), positive = click
            points[i] = 2 * x + 0.5, 2 * y + 0.5
            labels[i] = POSITIVE if positive else NEGATIVE
    return torch.from_numpy(points).to(logits.device), torch.from_numpy(labels).to(logits.device)


def _repeat(embedding: Embedding, times: int) -> Embedding:
    """Each field's embedding once per object; the memory format stays, or additions are slow."""

    def repeat(x: Tensor) -> Tensor:
        repeated = x[:, None].expand(-1, times, -1, -1, -1).flatten(0, 1)
        return repeated.contiguous(memory_format=torch.channels_last)

    skips = embedding.skips
    return Embedding(
        repeat(embedding.image_embedding),
        None if skips is None else (repeat(skips[0]), repeat(skips[1])),
    )


def _figures(batch: dict[str, Tensor], rounds: list[RoundLoss]) -> dict[str, float]:
    """Mean IoU by kind in the first and last round, and how often presence is told rightly."""
    is_present = batch["truth"].flatten(1).amax(1) > 0.5
    figures = {}
    for number, kind in enumerate(KINDS):
        chosen = (batch["kind"] == number) & is_present
        if chosen.any():
            figures[kind] = float(rounds[0].iou[chosen].mean())
        chosen &= ~batch["follows"]
        if chosen.any():
            figures[f"{kind}_corrected"] = float(rounds[-1].iou[chosen].mean())
    chosen = batch["follows"] & is_present
    if chosen.any() and len(rounds) > 1:
        figures["handed_on"] = float(rounds[1].iou[chosen].mean())
    is_handed = batch["is_neighbour"]
    for name, chosen in (("absent", is_handed & ~is_present), ("present", is_handed & is_present)):
        if chosen.any():
            told = (rounds[0].presence[chosen] > 0) == is_present[chosen]
            figures[f"{name}_told"] = float(told.float().mean())
    return figures


def _mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(k for row in rows for k in row)
    return {k: float(np.mean([row[k] for row in rows if k in row])) for k in keys}


def _read_items(data: DataConfig) -> list[PackedItem]:
    """What is in the pack, and the generated items that a pack with a limit leaves out."""
    return read_pack(data.pack) + (read_pack(data.generated) if data.pack_mib else [])


def _without(items: list[PackedItem], datasets: tuple[str, ...]) -> list[PackedItem]:
    """All items but those of some data sets; ValueError if the pack has none of one."""
    missing = set(datasets) - {item.dataset for item in items}
    if missing:
        raise ValueError(f"leave_out names data sets that the pack lacks: {', '.join(missing)}")
    return [item for item in items if item.dataset not in datasets]


def _take_over(model: PromptableModel, start: PromptableModel) -> None:
    """Begin with the weights of `start`, which may lack the quality head."""
    lacking = model.load_state_dict(start.state_dict(), strict=False)
    names = [*lacking.unexpected_keys, *lacking.missing_keys]
    if any(not name.startswith("mask_decoder.quality_head.") for name in names):
        raise ValueError("start_weights are of another network than [model] describes")


def _channels_last(model: PromptableModel) -> PromptableModel:
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
