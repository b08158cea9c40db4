"""Golden values of functions composed of operators: their values and every input's gradient.

Each is written twice under the same name, here and in tests/golden/composites/. Keep the two alike, line by line.
"""

from . import autograd, layers, losses, policy
from .registry import cases

__all__ = ["autograd", "cases", "layers", "losses", "policy"]
