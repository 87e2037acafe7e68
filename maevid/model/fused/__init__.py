"""The networks' element-wise work on the CPU, compiled by Numba: many steps in one pass over memory.

Matrix products and convolutions stay PyTorch's. Without Numba, and on other devices, the layers run as in training.
"""

from __future__ import annotations

import logging
from functools import cache


@cache
def available() -> bool:
    """Whether the compiled loops work here; the log says if not."""
    try:
        import maevid.model.fused.compiled
        import maevid.model.fused.entropy_loops
        import maevid.model.fused.filter_loops
        import maevid.model.fused.laps
        import maevid.model.fused.planes
        import maevid.model.fused.trellis_loops  # noqa: F401
    # Numba refuses an unknown NumPy, Python or processor with errors of many classes; coding must go on.
    except Exception as reason:
        logging.getLogger(__name__).warning(
            "the networks run without compiled loops, some half as fast: Numba does not work here (%s)",
            reason,
        )
        return False
    return True
