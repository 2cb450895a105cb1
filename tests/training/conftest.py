"""A small folder of data sets with a split, and the items of a pack made without it."""

import pytest
import tifffile
from skimage.io import imsave

from pack_support import FILES, SIZE, cells, items_of, organs, write_split
from stacksam.training.datasets import SampleSource


@pytest.fixture
def items():
    return items_of("train", 0) + items_of("val", 1)


@pytest.fixture
def data(tmp_path):
    """A data folder in which whatever may not be read cannot be read."""
    root = tmp_path / "Daten ö"
    for number, (relative, side) in enumerate(FILES.items()):
        path = root / relative
        stem, is_flat = path.stem, path.suffix == ".png"
        masks = path.parent.parent / ("masks" if is_flat else "volume_masks")
        for folder in (path.parent, masks):
            folder.mkdir(parents=True, exist_ok=True)
        image, labels = cells(number) if is_flat else organs(number)
        if side == "test" or "banned" in relative:
            path.write_bytes(b"never to be opened")
        elif is_flat:
            imsave(path, image, check_contrast=False)
        else:
            tifffile.imwrite(path, image, metadata={"axes": "ZYX"})
        axes = None if is_flat else {"axes": "ZYX"}
        tifffile.imwrite(masks / f"{stem}.tif", labels, metadata=axes)
    write_split(root)
    return root


@pytest.fixture(scope="session")
def source():
    return SampleSource(items_of("train", 0), input_size=SIZE, objects_per_image=2)


@pytest.fixture(scope="session")
def samples(source):
    return [source.draw((0, seed)) for seed in range(250)]


@pytest.fixture(scope="session")
def objects(samples):
    return [o for sample in samples for o in sample.objects]
