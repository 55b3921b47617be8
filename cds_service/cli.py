"""The `cds-service` command: one module of `commands` for each subcommand, of the same name."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module

import click


class _OnDemand(MutableMapping[str, click.Command]):
    """The subcommands, each loaded when it is named: screening has no use for a web server in memory."""

    def __init__(self, *names: str) -> None:
        self._loaded: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        found = self._loaded[name]
        if found is None:
            found = getattr(import_module(f"cds_service.commands.{name}"), name)
            assert isinstance(found, click.Command)  # noqa: S101  (the house keeps this rule)
            self._loaded[name] = found
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


_COMMANDS = _OnDemand(
    *("serve", "demo", "evaluate", "check", "db", "fire", "load", "report", "screen", "client")
)


@click.group(commands=_COMMANDS)
@click.version_option(package_name="low-alp-cds", prog_name="cds-service")
def main() -> None:
    """Advice on low ALP and antiresorptive drugs, as CDS Hooks cards."""
