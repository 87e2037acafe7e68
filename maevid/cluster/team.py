"""A compression with the workers of a Dask cluster."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from maevid.cluster.analysis import AnalysisAhead
from maevid.cluster.codec import ClusterCodec
from maevid.cluster.coding import CodingAhead
from maevid.cluster.connect import LOCAL, check_workers, connected, send_weights
from maevid.cluster.desk import Desk
from maevid.cluster.pool import Pool
from maevid.cluster.worker import setup_of
from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.model.device import choose_placement
from maevid.pipeline.events import Listener
from maevid.pipeline.team import FrameEvents, Team
from maevid.rate import RateController, Trials

CHECK_SECONDS = 60.0
"""How long workers may take to open the codec and to show that it is the client's."""


class ClusterTeam(Team):
    """The workers of the cluster at ``address``, which all have ``codec`` as it is open here with ``options``.

    Raises UsageError where Dask is missing, MaevidError where nobody answers, there is no worker or one would code to
    other bytes.
    """

    def __init__(self, codec: FrameCodec, options: CodecOptions, address: str, publish: Listener) -> None:
        self._stack = ExitStack()
        try:
            client = self._stack.enter_context(connected(address))
            # What is chosen automatically is chosen here, once for all machines.
            placement = choose_placement(options.device, options.precision)
            same = replace(
                options,
                device=placement.device.type,
                precision=str(placement.dtype).removeprefix("torch."),
            )
            sent = None
            if options.weights is not None:
                sent = send_weights(client, options.weights)
                self._stack.callback(client.unregister_worker_plugin, sent)
            setup = setup_of(codec, same, sent)
            check_workers(client, setup, CHECK_SECONDS)
            pool = Pool(client, setup, publish)
            self._stack.callback(pool.close)
        except BaseException:
            self._stack.close()
            raise
        self._desk = Desk(pool)
        self._stack.callback(self._desk.clear)
        where = "this machine" if address == LOCAL else address
        workers = f"{pool.workers} worker{'s' * (pool.workers != 1)}"
        super().__init__(ClusterCodec(codec, self._desk, f"{workers} of {where} ({codec.description})"))
        # The workers' is this machine's, so that each can go on with what the other has begun.
        self.arithmetic = codec.description

    def analysing(self, events: FrameEvents, trials: Trials, *, curve: bool) -> FrameEvents:
        """The same events, their frames on the way to workers."""
        self._desk.clear()
        return AnalysisAhead(self._desk, trials, curve=curve).events(events)

    def coding(
        self, events: FrameEvents, controller: RateController, *, measure: bool, planned: int | None
    ) -> FrameEvents:
        """The same events, their frames on the way to workers."""
        self._desk.clear()
        ahead = CodingAhead(self._desk, self.codec, controller, measure=measure, planned=planned)
        return ahead.events(events)

    def close(self) -> None:
        """Take back what is not done, and let go of the workers."""
        self._stack.close()
