"""Who a page is about: name, date of birth and sex, for people to check. No rule reads a name."""

import msgspec


class _Name(msgspec.Struct, frozen=True):
    text: str | None = None
    family: str | None = None
    given: tuple[str, ...] | None = None
    use: str | None = None


class _Person(msgspec.Struct, frozen=True):
    name: tuple[_Name, ...] | None = None
    birthDate: str | None = None
    gender: str | None = None


class Banner(msgspec.Struct, frozen=True):
    """As the record system wrote it: text to be escaped, and shown to nobody but the page's reader."""

    name: str
    born: str
    sex: str


def banner(patient: bytes | msgspec.Raw) -> Banner:
    """The banner of a Patient resource; what is missing or unreadable is said to be."""
    try:
        person = msgspec.json.decode(patient, type=_Person)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        person = _Person()
    return Banner(
        _told(person) or "Name not recorded",
        person.birthDate or "not recorded",
        person.gender or "not recorded",
    )


def _told(person: _Person) -> str:
    """The official name before the usual one before any other; never an old one where there is another."""
    ranks = {"official": 0, "usual": 1, None: 2, "old": 9, "maiden": 9}
    names = sorted(person.name or (), key=lambda n: ranks.get(n.use, 3))
    for name in names:
        told = name.text or " ".join([*(name.given or ()), name.family or ""]).strip()
        if told:
            return told
    return ""
