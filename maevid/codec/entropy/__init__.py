"""Exact entropy coding of integers: numbers in, bytes out, nothing in floating point decides a probability.

:mod:`.tables` holds integer frequency tables, :mod:`.fitting` makes them once at training time, :mod:`.coder`
fixes the byte format, :mod:`.compiled` and :mod:`.interpreted` are its two implementations. NumPy is all
that is imported until the first symbol is coded.
"""

from maevid.codec.entropy.coder import OVERHEAD_BYTES, Decoder, encode
from maevid.codec.entropy.fitting import (
    count_entries,
    gaussian_tables,
    laplace_tables,
    second_gaussian_tables,
    tables_from_counts,
    tables_from_probabilities,
)
from maevid.codec.entropy.kernels import kernels_in_use
from maevid.codec.entropy.tables import PRECISION, FrequencyTables

__all__ = [
    "OVERHEAD_BYTES",
    "PRECISION",
    "Decoder",
    "FrequencyTables",
    "count_entries",
    "encode",
    "gaussian_tables",
    "kernels_in_use",
    "laplace_tables",
    "second_gaussian_tables",
    "tables_from_counts",
    "tables_from_probabilities",
]
