"""For which address a token was made: `aud` is the exact public URL that is called."""


def is_for(audience: str, base_url: str, path: str) -> bool:
    """Whether `aud` names this path of the service.

    Slashes at the end or doubled do not count: clients that were given the discovery address with a
    trailing slash call, and sign for, `/cds-services//{id}`. Everything else is exact.
    """
    if not audience.startswith(f"{base_url}/"):
        return False
    return _segments(audience[len(base_url) :]) == _segments(path)


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
