"""Compression by many machines: frames go out to Dask workers, packets come back, and the file is that of one machine.

Nothing here decides anything. The frame loop, the rate controller and the writer are those of one machine and run in
the client; a codec of this package stands in for the real one and answers each call with what a worker has coded
already, because a look-ahead has guessed the call (:mod:`maevid.cluster.coding`, :mod:`maevid.cluster.analysis`). A
wrong guess costs time, never a byte.
"""
