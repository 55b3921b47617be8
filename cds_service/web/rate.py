"""How many calls a minute each client may make, counted on all machines together."""

import math
import time

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from cds_service.clients import Client
from cds_service.errors import TooManyCalls, Unavailable


class CallRate:
    """Counts calls and refuses those beyond a client's rate."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = FixedWindowRateLimiter(storage)

    def count(self, client: Client) -> None:
        """One more call. Raises TooManyCalls, or Unavailable when it cannot be counted."""
        if client.rate_per_minute is None:
            return
        allowed = RateLimitItemPerMinute(client.rate_per_minute)
        try:
            if self._limiter.hit(allowed, client.name):
                return
            ends_at = self._limiter.get_window_stats(allowed, client.name).reset_time
        except StorageError as error:
            raise Unavailable("The call cannot be counted at the moment.") from error
        raise TooManyCalls(
            f"More than the {client.rate_per_minute} calls a minute that are agreed with this client.",
            retry_seconds=max(1, math.ceil(ends_at - time.time())),
        )
