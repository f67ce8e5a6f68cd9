"""From a record to numbers: each metric turns one arm's record into one number per seed.

Pure functions of arrays. A metric that cannot be computed is NaN, which no threshold is cleared by. Which layers of a
network of one's own count as hidden, `Record.hidden` says.
"""

from vgtemplate.metrics import initial, trained
from vgtemplate.metrics.registry import FUNCTIONS, Array, fit_line, log10, metric, named

__all__ = ["FUNCTIONS", "Array", "fit_line", "initial", "log10", "metric", "named", "trained"]
