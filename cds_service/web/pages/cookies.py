"""The cookies of a SMART launch: each holds the secret that opens one sealed session."""

from urllib.parse import urlsplit

from flask import request
from werkzeug.wrappers import Response


class Cookies:
    """How secrets are put into the browser: over https also within a frame of another site's page.

    A launch inside a frame is third-party to the browser, which sends only SameSite=None cookies there,
    and those only over https. On loopback without TLS it is Lax: a page of its own, no frame.

    The prefix of a name keeps a neighbouring host, or a page without TLS, from putting its own in place
    of ours. `__Host-` says most, but wants a path of `/`; where others have paths of their own on the
    host, they are not sent our secrets, and the name says `__Secure-`.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._base_path = parts.path.rstrip("/")
        self._whole_host = self._secure and not self._base_path
        self._prefix = "__Host-" if self._whole_host else "__Secure-" if self._secure else ""

    def get(self, name: str) -> str:
        """The secret that the browser sent; empty when it sent none."""
        return request.cookies.get(self._prefix + name, "")

    def put(self, answer: Response, name: str, secret: str, path: str, seconds: int) -> None:
        """Set one that no script reads."""
        answer.set_cookie(
            self._prefix + name,
            secret,
            max_age=seconds,
            path=self._path(path),
            secure=self._secure,
            httponly=True,
            samesite="None" if self._secure else "Lax",
            partitioned=self._secure,
        )

    def drop(self, answer: Response, name: str, path: str) -> None:
        """Take one away."""
        self.put(answer, name, "", path, 0)

    def _path(self, path: str) -> str:
        return "/" if self._whole_host else self._base_path + path
