"""Resources as fhir.resources accepts and writes them: asked in a process of its own.

    python -m cds_service.screen.fhir_check < resources.ndjson

Its classes take memory for good once they are loaded, more than asking about a patient does.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def validated(resources: Sequence[dict[str, Any]]) -> list[str]:
    """Each MeasureReport or List as JSON text, its elements in the order of the specification.

    Raises CalledProcessError when one is not valid R4: then this program is wrong.
    """
    asked = subprocess.run(  # noqa: S603  (our own interpreter and our own module)
        [sys.executable, "-P", "-m", __name__],
        input="".join(json.dumps(resource) + "\n" for resource in resources),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    texts: list[str] = json.loads(asked.stdout)
    return texts


def main() -> None:
    """Read resources, one a line, from standard input; write them as a list of JSON texts."""
    from fhir.resources.R4B.list import List
    from fhir.resources.R4B.measurereport import MeasureReport

    models = {"List": List, "MeasureReport": MeasureReport}
    found = [json.loads(line) for line in sys.stdin.buffer]
    texts = [models[r["resourceType"]](**r).model_dump_json(indent=1) + "\n" for r in found]
    sys.stdout.write(json.dumps(texts))


if __name__ == "__main__":
    main()
