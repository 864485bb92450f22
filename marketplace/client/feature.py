"""What the features of the client share."""

from marketplace.client.transport import Transport


class Feature:
    """One feature of the API."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
