"""Numbers per object: volumes, lengths, shapes, intensities, counts."""

from stacksam.measurement.counts import count_objects
from stacksam.measurement.objects import measure_labels
from stacksam.measurement.tables import measure_file, write_table

__all__ = ["count_objects", "measure_file", "measure_labels", "write_table"]
