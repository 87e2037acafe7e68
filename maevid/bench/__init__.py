"""How fast the codec is, and how near to what the machine can do: operations, stages, throughput."""
