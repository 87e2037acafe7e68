"""Video in and out by PyAV: pictures as :class:`~maevid.video.frame.Frame`, other streams carried along."""
