"""The cookies of a SMART launch: each holds the secret that opens one sealed session."""

from urllib.parse import urlsplit

from werkzeug.wrappers import Response


class Cookies:
    """How secrets are put into the browser: over https also within a frame of another site's page.

    A launch inside a frame is third-party to the browser, which sends only SameSite=None cookies there,
    and those only over https. On loopback without TLS it is Lax: a page of its own, no frame.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")

    def put(self, answer: Response, name: str, secret: str, path: str, seconds: int) -> None:
        """Set one that no script reads."""
        answer.set_cookie(
            name,
            secret,
            max_age=seconds,
            path=self._prefix + path,
            secure=self._secure,
            httponly=True,
            samesite="None" if self._secure else "Lax",
            partitioned=self._secure,
        )

    def drop(self, answer: Response, name: str, path: str) -> None:
        """Take one away."""
        answer.delete_cookie(
            name,
            path=self._prefix + path,
            secure=self._secure,
            httponly=True,
            samesite="None" if self._secure else "Lax",
            partitioned=self._secure,
        )
