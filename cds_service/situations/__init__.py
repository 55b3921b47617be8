"""One predicate for each row of the decision table, grouped by family. Pure.

A predicate is a function of one Assessment, named after the situation's slug with underscores, that
returns a Verdict. It is found by that name: there is no registry to edit. One that cannot hold
without a recent low value may say so (`of_a_recent_low`): it is then tried only where there is one.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping

from cds_service.assessment import Assessment
from cds_service.situations.verdict import Verdict

Predicate = Callable[[Assessment], Verdict]


def predicates() -> Mapping[str, Predicate]:
    """Every predicate of this package by slug."""
    found: dict[str, Predicate] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name == "verdict":
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for name, value in vars(module).items():
            if (
                callable(value)
                and not name.startswith("_")
                and getattr(value, "__module__", None) == module.__name__
                and getattr(value, "__annotations__", {}).get("return") is Verdict
            ):
                found[name.replace("_", "-")] = value
    return found
