"""Whether draft orders are valid ServiceRequests: asked of fhir.resources in a process of its own.

    python -m cds_service.draft_check < drafts.json

The classes of fhir.resources stay in memory for good once they are loaded, and take more of it than
the rest of the service: a worker that checked its drafts itself would carry them for ever.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from cds_service.errors import KnowledgeError


def check(drafts: Mapping[str, Mapping[str, Any]]) -> None:
    """Have every draft accepted as R4B, which R4 ServiceRequests satisfy.

    Raises KnowledgeError naming the order and the element that is wrong.
    """
    asked = subprocess.run(  # noqa: S603  (our own interpreter and our own module)
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps(drafts),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["the check of draft orders did not run"]
        raise KnowledgeError(lines[-1])


def main() -> None:
    """Read drafts by order code from standard input; end with one line about the first wrong one."""
    from fhir.resources.R4B.servicerequest import ServiceRequest
    from pydantic import ValidationError

    for code, draft in json.load(sys.stdin).items():
        try:
            ServiceRequest.model_validate(draft)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            told = f"orders.toml [{code}]: no valid draft order: {where}: {first['msg']}"
            sys.exit(" ".join(told.split()))


if __name__ == "__main__":
    main()
