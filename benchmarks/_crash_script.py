"""What a user does in the trials of `crash`, and how two sessions are compared."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from models import ThresholdPredictor, stack_of
from session_support import CENTRES, KINDS, TRUTH, act, pick
from stacksam.io import write_labels
from stacksam.session import Session, facts

__all__ = ["CENTRES", "TRUTH", "Step", "ThresholdPredictor", "digest"]

Step = tuple[str, int, int]

BEGINNING: tuple[Step, ...] = (("box", 0, 6), ("propagate", 0, 6), ("commit", 0, 6))
N_STEPS = 40
OFTEN = ("box", "propagate", "commit", "undo")
ELSEWHERE = ("hide", "export", "save")


def new_session() -> Session:
    """A session on two tubes, with a model that thresholds: what is tested is not the model."""
    return Session(stack_of(TRUTH), ThresholdPredictor())


def script(seed: int) -> Iterator[Step]:
    """The same steps for the same seed."""
    rng = random.Random(seed)
    kinds = [kind.replace("-", " ") for kind in KINDS.split()] + [*OFTEN, *ELSEWHERE]
    yield from BEGINNING
    for _ in range(N_STEPS):
        yield rng.choice(kinds), rng.randrange(4), rng.randrange(3, 9)


def do(session: Session, step: Step, folder: Path) -> None:
    """One step; what the session refuses is none.

    Parameters
    ----------
    session : Session
    step : (kind, number, slice)
    folder : Path
        For what is exported.
    """
    kind, number, z = step
    with suppress(ValueError):
        if kind in ("undo", "redo"):
            getattr(session, kind)()
        elif kind == "hide":
            object_id = pick(session, number)
            if object_id is not None:
                session.set_visible(object_id, bool(z % 2))
        elif kind == "export":
            write_labels(folder / "labels.nii.gz", session.labels, like=session.volume)
        elif kind == "save":
            session.save(folder / "saved")
        else:
            act(session, step)


def digest(session: Session, *, with_history: bool = True) -> str:
    """The same text for sessions in which the user can see and do the same."""
    state = session._state
    seen: list[Any] = [
        [facts.object_to_dict(o) for o in session.objects.values()],
        [repr(prompt) for prompt in state.prompts],
        sorted(i for i, o in session.objects.items() if not o.is_visible),
        [session.window.low, session.window.high, session.window_name],
        facts.results_to_dict(state),
        hashlib.blake2b(session.labels.astype("<u4").tobytes()).hexdigest(),
    ]
    if with_history:
        seen.append([session.undo_text, session.redo_text])
    return hashlib.blake2b(json.dumps(seen, sort_keys=True).encode(), digest_size=8).hexdigest()


def missing_objects(session: Session, twin: Session) -> int:
    """Committed objects of the twin whose voxels or label the session lacks."""
    wanted = [o.label_id for o in twin.objects.values() if o.label_id is not None]
    return sum(not ((session.labels == label) == (twin.labels == label)).all() for label in wanted)
