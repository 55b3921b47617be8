"""How many calls a minute each client may make, counted on all machines together."""

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from cds_service.clients import Client


def count(client: Client, counts: Storage) -> int:
    """One more call: 0 while it is within the client's rate, else the seconds until the next minute of it."""
    if client.rate_per_minute is None:
        return 0
    allowed = RateLimitItemPerMinute(client.rate_per_minute)
    limiter = FixedWindowRateLimiter(counts)
    if limiter.hit(allowed, client.name):
        return 0
    ends_at = limiter.get_window_stats(allowed, client.name).reset_time
    return max(1, math.ceil(ends_at - time.time()))
