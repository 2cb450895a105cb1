"""Things to do in a session, at random or in order, for tests of history, journal and replay."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models import disc, two_tubes
from stacksam.core.cleanup import CleanUp

TRUTH = two_tubes()
BOX_1, BOX_2 = (12, 14, 32, 34), (36, 44, 52, 60)
CENTRES = {1: (22, 24), 2: (44, 52)}


def state_of(session):
    results = {i: session.result(i) for i in session.objects}
    return session.objects, session.window, results, session.labels.copy()


def assert_same(session, state):
    now = state_of(session)
    assert now[:3] == state[:3]
    assert np.array_equal(now[3], state[3])


def pick(session, number):
    """One of the objects, None if there is none."""
    ids = list(session.objects)
    return ids[number % len(ids)] if ids else None


def add(session, kind, object_id, z):
    y, x = CENTRES[1 + object_id % 2]
    if kind == "box":
        session.add_box(object_id, z, (y - 10, x - 10, y + 10, x + 10))
    elif kind == "point":
        session.add_point(object_id, (z, y, x))
    elif kind == "negative":
        session.add_point(object_id, (z, y - 6, x), positive=False)
    elif kind == "scribble":
        session.add_scribble(object_id, z, [(y, x - 3), (y, x + 3)])
    else:
        session.add_mask(object_id, z, disc((64, 72), (y, x), 6))


def act(session, step):
    """Do something; what is refused is no step."""
    kind, number, z = step
    object_id = pick(session, number)
    if kind in ("box", "point", "negative", "scribble", "mask"):
        return add(session, kind, 1 + number % 3, z)
    if kind == "window":
        return session.set_window((z * 10, 800 + number))
    if kind == "new":
        return session.new_object(f"new {z}")
    if kind == "import":
        labels = np.zeros(TRUTH.shape, np.int32)
        labels[z, :3, : 3 + number] = 4
        return session.import_labels(labels, as_keyframes=bool(number % 2))
    if kind == "propagate all":
        prompted = [i for i, o in session.objects.items() if o.prompts]
        return session.propagate(prompted)
    if object_id is None:
        return None
    prompts = session.objects[object_id].prompts
    if kind == "move":
        boxes = [p for p in prompts if p.kind == "box"]
        return boxes and session.move_prompt(boxes[0].prompt_id, yxyx=(z, z, z + 20, z + 20))
    if kind == "remove prompt":
        return prompts and session.remove_prompt(prompts[z % len(prompts)].prompt_id)
    return {
        "choose": lambda: session.predict(object_id, z).choose(number % 3),
        "clear": lambda: session.clear(object_id, z if number else None),
        "rename": lambda: session.rename(object_id, f"name {z}"),
        "lock": lambda: session.set_locked(object_id, bool(z % 2)),
        "color": lambda: session.set_color(object_id, (z / 12, 0, 1)),
        "clean": lambda: session.set_clean_up(object_id, CleanUp(min_size=z, smooth=number)),
        "propagate": lambda: session.propagate(object_id),
        "range": lambda: session.propagate(object_id, z_range=(z, z + 3)),
        "inside": lambda: session.propagate(object_id, inside="boxes"),
        "fill": lambda: session.fill_between(object_id),
        "commit": lambda: session.commit(object_id, overwrite=bool(number % 2)),
        "delete": lambda: session.remove_object(object_id),
    }[kind]()


KINDS = (
    "box point negative scribble mask window new import propagate-all move remove-prompt choose "
    "clear rename lock color clean propagate range inside fill commit delete undo redo"
)
steps = st.lists(
    st.tuples(
        st.sampled_from([kind.replace("-", " ") for kind in KINDS.split()]),
        st.integers(0, 3),
        st.integers(3, 8),
    ),
    max_size=14,
)


def crash(session):
    """Let go of the folder as a program that was ended would, without saying goodbye."""
    session._journal.flush()
    held, session._journal = session._journal, None
    held.close()


def work(session):
    """A bit of everything."""
    session.add_box(1, 6, BOX_1)
    session.add_point(1, (6, 16, 24), positive=False)
    session.propagate(1)
    session.commit(1, name="Röhre")
    session.new_object("second")
    session.add_mask(2, 4, TRUTH[4] == 2)
    session.add_mask(2, 9, TRUTH[9] == 2)
    session.fill_between(2)
    session.set_clean_up(2, CleanUp(smooth=1))
    session.set_window((0, 1200))
    session.commit(2)
    session.undo()
    session.undo()
    session.redo()
    session.set_locked(1, False)
    labels = np.zeros(TRUTH.shape, np.uint16)
    labels[0, :3, :3] = 300
    session.import_labels(labels)
    session.remove_object(1)
    session.undo()
