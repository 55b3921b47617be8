"""The knowledge: mistakes in it refuse to start, a site's policy takes effect, cards say what they have to.

The checklist at the end is that of the card text: intended user, rule in words, every value with
unit, date and limit, evidence in words, when no action is reasonable, what would change the advice,
sources, version, and none of the words that would turn advice into an order or a verdict.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cds_service import rulebook
from cds_service.errors import KnowledgeError
from cds_service.guidance import Advisor, Answer
from cds_service.hooks import card as wire
from cds_service.hooks.request import HOOKS, decode
from cds_service.phrases.policy import numbers
from cds_service.rulebook import Citation, Order, OverrideReason, Rulebook
from cds_service.rulebook.files import KNOWLEDGE, read_table, read_toml
from cds_service.rulebook.situation import Situation, read_situations
from tests import vignettes
from tests.charts import REFERENCE, Json, alp, concept, dose, lab, patient, taking
from tests.conftest import CANONICAL, Client, orders, slug

ORDERS = read_table("orders.toml", Order)
CITATIONS = read_table("citations.toml", Citation)
REASONS = read_table("override_reasons.toml", OverrideReason)


# A site's policy: mistakes


MISTAKES = [
    # name, site policy, and what the message says: the key, and what would be right
    ("a misspelt threshold", "[alp]\nadult_femal = 30", ["alp.adult_femal;", "mean adult_female"]),
    ("a misspelt table", "[alpp]\nadult_male = 40", ["alpp;", "did you mean alp?"]),
    ("a misspelt trimester", "[alp.pregnancy]\nfirs = 17", ["alp.pregnancy.firs;", "mean first"]),
    (
        "a misspelt age",
        "[[alp.children]]\nfrom_day = 0\nmale = 83\nfemale = 83",
        ["from_day;", "did you mean from_days?"],
    ),
    (
        "a misspelt key of a local code",
        '[[local_codes]]\nvalueset = "alp-total"\nsystem = "urn:x"\ncode = "ALP"',
        ["local_codes[0].valueset;", "did you mean value_set?"],
    ),
    (
        "a key unlike any other",
        "[persistence]\nzzz = 1",
        ["persistence.zzz", "days_apart, low_share"],
    ),
    ("a word for a number", '[alp]\nadult_male = "forty"', ["alp.adult_male", "decimal"]),
    ("a truth for a number", "[alp]\nadult_male = true", ["alp.adult_male", "decimal"]),
    (
        "text for whole months",
        '[look_back]\npatient_view_months = "24"',
        ["look_back.patient_view_months", "`int`"],
    ),
    (
        "a fraction for whole months",
        "[look_back]\npatient_view_months = 24.5",
        ["look_back.patient_view_months", "`int`"],
    ),
    ("a number for a table", "alp = 40", ["`alp`", "`object`"]),
    ("one order instead of a list", '[orders]\noff = "ppi"', ["orders.off", "`array`"]),
    (
        "text for a truth",
        '[audience]\npatients_and_relatives = "no"',
        ["audience.patients_and_relatives", "`bool`"],
    ),
    ("an empty version", 'version = ""', ["version", ">= 1"]),
    (
        "no months at all",
        "[look_back]\npatient_view_months = 0",
        ["look_back.patient_view_months", ">= 1"],
    ),
    ("a century", "[look_back]\norder_months = 1200", ["look_back.order_months", "<= 600"]),
    ("days below zero", "[acute]\ndays_after_stay = -1", ["acute.days_after_stay", ">= 0"]),
    ("a limit of zero", "[alp]\nadult_male = 0", ["adult_male is 0", "above 0 and up to 10000"]),
    ("a limit below zero", "[alp]\nadult_male = -1", ["adult_male is -1", "above 0"]),
    ("a limit beyond any", "[alp]\nadult_male = 20000", ["adult_male is 20000", "up to 10000"]),
    ("an infinite limit", "[alp]\nadult_male = inf", ["adult_male is Infinity", "up to 10000"]),
    ("a limit that is no number", "[alp]\nadult_male = nan", ["adult_male", "above 0"]),
    ("a share beyond the whole", "[persistence]\nlow_share = 1.5", ["low_share", "at most 1"]),
    ("a line without =", "[alp]\n\nadult_male 40", ["not valid TOML", "line 3"]),
    (
        "a table twice",
        "[alp]\nadult_male = 40\n[alp]\nadult_cap = 45",
        ["not valid TOML", "line 3"],
    ),
    (
        "tiers out of order",
        "[alp]\nclearly_low = 20",
        ["`alp`", "very_low, clearly_low, adult_floor and adult_cap are to rise"],
    ),
    ("a cap below the floor", "[alp]\nadult_cap = 28", ["`alp`", "are to rise in this order"]),
    (
        "an age given twice",
        "[[alp.children]]\nfrom_days = 0\nfrom_years = 0\nmale = 83\nfemale = 83",
        ["children", "either from_days or from_years"],
    ),
    (
        "an age not given",
        "[[alp.children]]\nmale = 83\nfemale = 83",
        ["children", "either from_days or from_years"],
    ),
    ("no ages at all", "[alp]\nchildren = []", ["alp.children", "length >= 1"]),
    (
        "ages out of order",
        # The last row that has begun decides: a child of 12 would get the limit of 1.
        "[[alp.children]]\nfrom_days = 0\nmale = 83\nfemale = 83\n"
        "[[alp.children]]\nfrom_years = 10\nmale = 129\nfemale = 129\n"
        "[[alp.children]]\nfrom_years = 1\nmale = 142\nfemale = 142",
        ["children"],
    ),
    (
        "ages that begin after birth",
        # The first row holds until another begins: an infant would get the limit of 10.
        "[[alp.children]]\nfrom_years = 10\nmale = 129\nfemale = 129",
        ["children"],
    ),
    (
        "trimesters out of order",
        "[pregnancy]\nsecond_trimester_from_weeks = 30",
        ["second_trimester_from_weeks", "third_trimester_from_weeks"],
    ),
    (
        "a rebound that ends before it begins",
        "[residual]\ndenosumab_months = 30",
        ["denosumab_months", "denosumab_rebound_months"],
    ),
    (
        "an unknown situation",
        '[situations]\npersistent-low-al = "off"',
        ["situations.persistent-low-al:", "persistent-low-alp"],
    ),
    (
        "an unknown switch",
        '[situations]\npersistent-low-alp = "of"',
        ["situations", "persistent-low-alp", "off", "shadow"],
    ),
    (
        "a truth for a switch",
        "[situations]\npersistent-low-alp = false",
        ["situations", "persistent-low-alp", "off", "shadow"],
    ),
    (
        "a silence switched off",
        '[situations]\nnothing-low = "off"',
        ["situations.nothing-low:", "a silence and cannot be switched"],
    ),
    (
        "an unknown value set",
        '[[local_codes]]\nvalue_set = "alp-totl"\nsystem = "urn:x"\ncode = "ALP"',
        ["local_codes:", "alp-totl", "did you mean alp-total"],
    ),
    (
        "a local code without its code",
        '[[local_codes]]\nvalue_set = "alp-total"\nsystem = "urn:x"',
        ["local_codes[0]", "missing required field `code`"],
    ),
    (
        "a local code that is empty",
        '[[local_codes]]\nvalue_set = "alp-total"\nsystem = "urn:x"\ncode = ""',
        ["local_codes[0].code", "length >= 1"],
    ),
    ("an unknown order", '[orders]\noff = ["plpp"]', ["orders.off:", "plpp", "known are", "plp,"]),
]


@pytest.mark.parametrize("toml, says", [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_in_a_site_policy_is_refused(tmp_path: Path, toml: str, says: list[str]) -> None:
    path = tmp_path / "site.toml"
    path.write_text(toml, encoding="utf-8")
    refused(path, says)


def test_a_site_policy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.toml", ["cannot be read", "No such file"])


def test_a_folder_is_no_site_policy(tmp_path: Path) -> None:
    refused(tmp_path, ["cannot be read", "directory"])


def test_a_site_policy_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes('version = "Zürich"'.encode("latin-1"))
    refused(path, ["not valid TOML", "utf-8"])


def refused(path: Path, says: list[str]) -> None:
    with pytest.raises(KnowledgeError) as refusal:
        rulebook.load(CANONICAL, path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for words in says:
        assert words in message.removeprefix(f"{path}: ")


# A site's policy: what it changes


Site = Callable[[str], Advisor]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The service under a site's own policy."""

    def under(toml: str) -> Advisor:
        path = tmp_path / "site.toml"
        path.write_text(toml, encoding="utf-8")
        return Advisor(rulebook.load(CANONICAL, path))

    return under


def ask(advisor: Advisor, *chart: Json, **context: str) -> Answer:
    """The answer when this chart is opened."""
    request = Client("", advisor).request(*chart)
    request["context"] |= context
    return answered(advisor, msgspec.json.encode(request))


def answered(advisor: Advisor, body: bytes) -> Answer:
    return advisor.answer(decode(body, HOOKS), REFERENCE)


def situation(answer: Answer) -> str:
    found = answer.decision.primary or answer.decision.silence
    assert found is not None
    return found.slug


def cards(answer: Answer) -> list[Json]:
    """The cards as they go out."""
    found: list[Json] = json.loads(wire.encode(answer.response))["cards"]
    return found


PERSISTENT = (patient(58), alp(31, -300, 35), alp(32, -45, 35))


def test_the_built_in_policy_over_itself_changes_nothing() -> None:
    policy = rulebook.load(CANONICAL, KNOWLEDGE / "policy.toml").policy
    assert policy == rulebook.load(CANONICAL).policy


def test_an_empty_site_policy_changes_its_version_only(site: Site, advisor: Advisor) -> None:
    built_in = advisor.rulebook.policy
    policy = site("").rulebook.policy
    assert policy.version == f"{built_in.version}+site"
    assert msgspec.structs.replace(policy, version=built_in.version) == built_in


def test_the_examples_of_the_built_in_policy_work(site: Site) -> None:
    """A site that takes the hash off an example gets what the comment promises."""
    text = (KNOWLEDGE / "policy.toml").read_text(encoding="utf-8")
    examples = re.sub(r"(?m)^# (?=\[\[|[\w-]+ = )", "", text)
    assert examples != text
    site(examples)


def test_a_changed_limit_changes_the_answer(site: Site, advisor: Advisor) -> None:
    chart = (patient(58, "female"), alp(38, -30))
    stricter = site("[alp]\nadult_female = 40")
    assert situation(ask(advisor, *chart)) == "nothing-low"
    assert situation(ask(stricter, *chart)) == "single-low-alp"
    assert stricter.rulebook.policy.alp.adult_male == 40, "what is not named keeps its default"


def test_a_changed_interval_changes_the_answer_and_the_words(site: Site, advisor: Advisor) -> None:
    chart = (patient(58), alp(31, -75, 35), alp(32, -30, 35))
    slower = site("[persistence]\ndays_apart = 60")
    assert situation(ask(advisor, *chart)) == "persistent-low-alp"
    answer = ask(slower, *chart)
    assert situation(answer) == "single-low-alp"
    assert "lows less than 60 days apart" in cards(answer)[0]["detail"]


def test_changed_ages_replace_the_built_in_ones(site: Site, advisor: Advisor) -> None:
    chart = (patient(8), alp(130, -30))
    one_row = site("[[alp.children]]\nfrom_days = 0\nmale = 100\nfemale = 100")
    assert situation(ask(advisor, *chart)) == "child-single-low-alp"
    assert situation(ask(one_row, *chart)) == "nothing-low"


def test_a_local_code_is_recognised(site: Site, advisor: Advisor) -> None:
    system = "urn:oid:1.2.3.4"
    chart = (patient(58), alp(31, -30, 35, code=concept(system, "ALP")))
    local = site(f'[[local_codes]]\nvalue_set = "alp-total"\nsystem = "{system}"\ncode = "ALP"')
    assert situation(ask(advisor, *chart)) == "nothing-low"
    assert situation(ask(local, *chart)) == "single-low-alp"
    other_system = (patient(58), alp(31, -30, 35, code=concept("urn:oid:9", "ALP")))
    assert situation(ask(local, *other_system)) == "nothing-low"


def test_a_local_code_is_asked_for(site: Site) -> None:
    local = site('[[local_codes]]\nvalue_set = "alp-total"\nsystem = "urn:x"\ncode = "ALP"')
    assert ("urn:x", "ALP") in {
        (c.system, c.code) for c in local.rulebook.terminology.codings("alp-total")
    }


def test_a_fraction_under_a_local_code_of_total_alp_stays_a_fraction(site: Site) -> None:
    local = site(
        '[[local_codes]]\nvalue_set = "alp-total"\nsystem = "http://loinc.org"\ncode = "1779-8"'
    )
    chart = (patient(58), lab("alp_liver", 20, "U/L", -30, low=35))
    assert situation(ask(local, *chart)) == "nothing-low"


def test_a_situation_that_is_off_gives_no_card(site: Site, advisor: Advisor) -> None:
    assert situation(ask(advisor, *PERSISTENT)) == "persistent-low-alp"
    answer = ask(site('[situations]\npersistent-low-alp = "off"'), *PERSISTENT)
    assert situation(answer) != "persistent-low-alp"
    assert answer.decision.shadow == ()


def test_a_situation_in_shadow_is_noted_and_gives_no_card(site: Site) -> None:
    answer = ask(site('[situations]\npersistent-low-alp = "shadow"'), *PERSISTENT)
    assert [f.slug for f in answer.decision.shadow] == ["persistent-low-alp"]
    assert situation(answer) != "persistent-low-alp"
    assert "persistent-low-alp" not in [slug(c) for c in cards(answer)]


def test_a_situation_switched_on_is_as_if_not_named(site: Site, advisor: Advisor) -> None:
    answer = ask(site('[situations]\npersistent-low-alp = "on"'), *PERSISTENT)
    assert situation(answer) == situation(ask(advisor, *PERSISTENT))


def test_every_situation_is_put_in_shadow_at_once_but_those_that_are_named(site: Site) -> None:
    book = site(
        '[situations]\nevery = "shadow"\npersistent-low-alp = "on"\nsingle-low-alp = "off"'
    ).rulebook
    cards = {s.slug for s in book.situations.values() if s.kind != "silence"}
    named = {"persistent-low-alp": "on", "single-low-alp": "off"}
    assert book.policy.situations == dict.fromkeys(cards, "shadow") | named


def test_all_in_shadow_no_card_goes_out(site: Site) -> None:
    answer = ask(site('[situations]\nevery = "shadow"'), *PERSISTENT)
    assert answer.response.cards == ()
    assert answer.decision.shadow[0].slug == "persistent-low-alp"


def test_every_takes_a_switch_and_nothing_else(site: Site) -> None:
    with pytest.raises(KnowledgeError, match=r"situations.every: 'loud' is no switch"):
        site('[situations]\nevery = "loud"')


@pytest.mark.parametrize("switch, beside", [("on", 1), ("off", 0), ("shadow", 0)])
def test_what_stands_beside_a_card_can_be_switched(site: Site, switch: str, beside: int) -> None:
    chart = (patient(69), alp(28, -900, 35), alp(27, -20, 35), dose("denosumab", -330))
    answer = ask(site(f'[situations]\ndenosumab-gap = "{switch}"'), *chart)
    assert [slug(c) for c in cards(answer)].count("denosumab-gap") == beside
    assert len(answer.decision.shadow) == (switch == "shadow")


def test_an_order_that_is_off_is_not_offered_and_the_card_says_so(
    site: Site, advisor: Advisor
) -> None:
    assert "plp" in orders(cards(ask(advisor, *PERSISTENT)))
    answer = cards(ask(site('[orders]\noff = ["plp"]'), *PERSISTENT))
    assert "plp" not in orders(answer)
    assert "switched off by this site" in answer[0]["detail"]


@pytest.mark.parametrize("user", ["Patient/pat-1", "RelatedPerson/r1"])
def test_a_site_may_open_the_cards_to_patients(site: Site, advisor: Advisor, user: str) -> None:
    opened = site("[audience]\npatients_and_relatives = true")
    assert situation(ask(advisor, *PERSISTENT, userId=user)) == "out-of-scope"
    assert situation(ask(opened, *PERSISTENT, userId=user)) == "persistent-low-alp"


@pytest.mark.parametrize(
    "toml, version", [("", "0.1.0+site"), ('version = "St Elsewhere 3"', "St Elsewhere 3")]
)
def test_a_card_names_the_policy_in_force(site: Site, toml: str, version: str) -> None:
    card = cards(ask(site(toml), *PERSISTENT))[0]
    assert f"policy {version}" in card["detail"]


# Situation files: mistakes


FILE = "persistent-low-alp.toml"
SILENCE = "nothing-low.toml"


def sentence(text: str, *, when: str = "") -> Callable[[str], str]:
    """Adds a sentence to the card."""
    condition = f'\nwhen = "{when}"' if when else ""
    return lambda toml: f'{toml}\n[[why]]\ntext = "{text}"{condition}\n'


def other_summary(text: str, *, when: str = "single") -> Callable[[str], str]:
    """Adds a summary for some patients."""
    return lambda toml: f'{toml}\n[[summaries]]\nwhen = "{when}"\ntext = "{text}"\n'


def offer(code: str, *, when: str = "") -> Callable[[str], str]:
    """Adds an order to the card."""
    condition = f'\nwhen = "{when}"' if when else ""
    return lambda toml: f'{toml}\n[[orders]]\ncode = "{code}"{condition}\n'


def line(key: str, written: str) -> Callable[[str], str]:
    """Writes another value, or nothing, for a key at the top of the file."""

    def edit(toml: str) -> str:
        edited, times = re.subn(rf"(?m)^{key} = .*$", lambda _: written, toml, count=1)
        assert times == 1, key
        return edited

    return edit


BREAKAGES = [
    # name, file, edit, and the name that the message holds beside that of the file
    ("unknown placeholder in a sentence", FILE, sentence("ALP is {latst}."), "latst"),
    ("unknown placeholder in the summary", FILE, line("summary", 'summary = "{lowz}"'), "lowz"),
    (
        "unknown placeholder in the criterion",
        FILE,
        line("criterion", 'criterion = "{dayz}"'),
        "dayz",
    ),
    (
        "a patient's value in the criterion",
        FILE,
        line("criterion", 'criterion = "Below {latest}."'),
        "latest",
    ),
    (
        "unknown placeholder in a silence",
        SILENCE,
        line("meaning", 'meaning = "After {monthz}."'),
        "monthz",
    ),
    ("placeholder without a name", FILE, sentence("ALP is {}."), "text"),
    ("placeholder that is not closed", FILE, sentence("ALP is {latest."), "latest"),
    ("brace that was not opened", FILE, sentence("ALP is latest}."), "latest}"),
    ("unknown flag of a sentence", FILE, sentence("x", when="never_expose"), "never_expose"),
    ("unknown flag, negated", FILE, sentence("x", when="!never_expose"), "never_expose"),
    ("unknown flag of an order", FILE, offer("plp", when="warnin"), "warnin"),
    ("unknown order", FILE, offer("plpp"), "plpp"),
    (
        "unknown citation",
        FILE,
        line("citations", 'citations = ["riancho-2016", "riancho-2061"]'),
        "riancho-2061",
    ),
    (
        "unknown override reason",
        FILE,
        line("override_reasons", 'override_reasons = ["patient-decline"]'),
        "patient-decline",
    ),
    ("unknown hook", FILE, line("hooks", 'hooks = ["patient-vew"]'), "patient-vew"),
    ("unknown indicator", FILE, line("indicator", 'indicator = "high"'), "indicator"),
    ("priority in words", FILE, line("priority", 'priority = "first"'), "priority"),
    ("misspelt key", FILE, line("title", 'titel = "Low ALP"'), "titel; did you mean title"),
    (
        "misspelt table",
        FILE,
        lambda toml: f'{toml}\n[[wyh]]\ntext = "x"\n',
        "wyh; did you mean why",
    ),
    (
        "misspelt key of a sentence",
        FILE,
        lambda toml: f'{toml}\n[[options]]\ntxt = "x"\n',
        "txt; did you mean text",
    ),
    ("not TOML", FILE, lambda toml: f"title\n{toml}", "line 1"),
    (
        "too long a summary",
        FILE,
        line("summary", f'summary = "ALP low ({{lows}}). {"Consider. " * 14}"'),
        "fewer than 140 fit",
    ),
    (
        "words without a bound in the summary",
        FILE,
        line("summary", 'summary = "On {exposure}."'),
        "fewer than 140 fit",
    ),
    ("unknown placeholder in another summary", FILE, other_summary("{lowz}"), "lowz"),
    ("unknown flag of another summary", FILE, other_summary("x", when="singel"), "singel"),
    (
        "too long another summary",
        FILE,
        other_summary("Consider. " * 14),
        "fewer than 140 fit",
    ),
    ("banned word in another summary", FILE, other_summary("You must see."), "'must'"),
    ("no title", FILE, line("title", ""), "title"),
    ("no criterion", FILE, line("criterion", ""), "criterion"),
    ("no summary", FILE, line("summary", ""), "summary"),
    ("no word when no action is reasonable", FILE, line("no_action", ""), "no_action"),
    ("no word on what would change the advice", FILE, line("would_change", ""), "would_change"),
    ("no source", FILE, line("citations", "citations = []"), "citations"),
    ("a silence without a meaning", SILENCE, line("meaning", ""), "meaning"),
    *(
        (f"banned word: {word}", FILE, sentence(f"This {word} here."), f"'{word}'")
        for word in (
            "must",
            "contraindicated",
            "stop",
            "diagnose",
            "diagnoses",
            "diagnosed",
            "confirms",
            "safe to give",
            "Must",
            "STOP",
        )
    ),
    *(
        (f"banned word in {key}", FILE, line(key, f'{key} = "You must see."'), "'must'")
        for key in ("title", "summary", "criterion", "no_action", "would_change")
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the knowledge that may be broken."""
    return shutil.copytree(KNOWLEDGE, tmp_path / "knowledge") / "situations"


def read(folder: Path) -> dict[str, Situation]:
    return read_situations(folder, ORDERS, CITATIONS, REASONS)


def test_a_copy_that_is_not_broken_is_read(folder: Path) -> None:
    found = read(folder)
    assert set(found) == {path.stem for path in folder.glob("*.toml")}


@pytest.mark.parametrize(
    "file, edit, name", [b[1:] for b in BREAKAGES], ids=[b[0] for b in BREAKAGES]
)
def test_a_mistake_in_a_situation_is_refused(
    folder: Path, file: str, edit: Callable[[str], str], name: str
) -> None:
    path = folder / file
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(KnowledgeError) as refusal:
        read(folder)
    assert file in str(refusal.value)
    assert name in str(refusal.value).removeprefix(str(path))


def test_words_that_only_resemble_banned_ones_are_allowed(folder: Path) -> None:
    text = "A diagnosis was confirmed; the laboratory stopped; mustard."
    path = folder / FILE
    path.write_text(sentence(text)(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert text in [line.text for line in read(folder)["persistent-low-alp"].why]


def test_a_file_without_a_predicate_is_refused(folder: Path) -> None:
    shutil.copy(folder / FILE, folder / "brand-new.toml")
    with pytest.raises(KnowledgeError, match=r"brand-new\.toml: .*brand_new"):
        read(folder)


@pytest.mark.parametrize("file", [FILE, SILENCE])
def test_a_predicate_without_a_file_is_refused(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(KnowledgeError, match=f"situations: no file .*{Path(file).stem}"):
        read(folder)


# What cards are made of


BANNED = re.compile(
    r"\b(must|contra-?indicat\w*|stop|stops|stopping|diagnose[sd]?|confirms|safe to give)\b",
    re.IGNORECASE,
)
CRITERIA = re.compile(r"\bmeets?\b.*\bcriteria\b", re.IGNORECASE)
_TEXTS = {
    **{f"order {k}": v for k, v in ORDERS.items()},
    **{f"citation {k}": v for k, v in CITATIONS.items()},
    **{f"override reason {k}": v for k, v in REASONS.items()},
}


@pytest.mark.parametrize("found", _TEXTS.values(), ids=_TEXTS)
def test_orders_sources_and_reasons_have_none_of_the_banned_words(found: Any) -> None:
    for text in strings(msgspec.to_builtins(found)):
        assert not BANNED.search(text)
        assert not CRITERIA.search(text)
        assert not re.search("[{}]", text)


@pytest.mark.parametrize("found", CITATIONS.values(), ids=CITATIONS)
def test_evidence_is_told_in_words(found: Citation) -> None:
    assert re.search(r"[a-z]{5,}", found.evidence), "not a grade such as 1A"
    assert found.read_as
    assert found.url is None or re.fullmatch(r"https?://[\w.-]+/\S+", found.url)


@pytest.mark.parametrize("found", CITATIONS.values(), ids=CITATIONS)
def test_a_manufacturer_is_called_one(found: Citation) -> None:
    told = f"{found.label} {found.url} {found.evidence}".lower()
    if re.search("strensiq|unifyrare|alexion|amgen|novartis|label", told):
        assert re.search("manufacturer|regulator", told)


def strings(value: Any) -> Iterator[str]:
    """Every text within a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


# What every card says


REQUESTS = Path(__file__).resolve().parent.parent / "fhir_fixtures" / "requests"
SILENCES = {
    path.stem for path in (KNOWLEDGE / "situations").glob("*.toml") if read_toml(path).get("silent")
}
PATIENTS = {
    entry["name"]: entry["situation"]
    for entry in json.loads((REQUESTS.parent / "index.json").read_text(encoding="utf-8"))
}
VIGNETTES = {v.id: v for v in vignettes.PATIENT_VIEW + vignettes.ORDERS}
WITH_CARDS = [
    *(path.stem for path in sorted(REQUESTS.glob("*.json")) if PATIENTS[path.stem] not in SILENCES),
    *(v.id for v in VIGNETTES.values() if v.indicator),
]
BLOCKS = (
    "Why this fired",
    "Values used",
    "Not known to this tool",
    "Options to consider",
    "Sources and rule version",
)

each_with_cards = pytest.mark.parametrize("name", WITH_CARDS)


class Given(msgspec.Struct, frozen=True):
    """An answer as it goes out, each card with its situation."""

    response: Json
    cards: list[tuple[Json, Situation]]
    alp_counts: bool
    """Whether there is an ALP that counts."""


@pytest.fixture(scope="session")
def given(advisor: Advisor) -> dict[str, Given]:
    """The answer for every bundled request and every vignette that has cards."""
    return {name: _given(advisor, name) for name in WITH_CARDS}


def _given(advisor: Advisor, name: str) -> Given:
    if name in VIGNETTES:
        v = VIGNETTES[name]
        request = Client("", advisor).request(*v.chart, hook=v.hook, drafts=v.drafts)
        answer = answered(advisor, msgspec.json.encode(request))
    else:
        answer = answered(advisor, (REQUESTS / f"{name}.json").read_bytes())
    response = json.loads(wire.encode(answer.response))
    situations = advisor.rulebook.situations
    found = [(card, situations[slug(card)]) for card in response["cards"]]
    return Given(response, found, bool(answer.decision.assessment.alp.counted))


@pytest.fixture
def book(advisor: Advisor) -> Rulebook:
    return advisor.rulebook


def blocks(card: Json) -> dict[str, str]:
    """The text of a card by its bold headings."""
    parts = re.split(r"(?m)^\*\*(.+?)\*\*$", card["detail"])
    assert not parts[0].strip()
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def alp_rows(card: Json) -> list[list[str]]:
    """Date, value, limit and remark of every ALP in the table."""
    rows = [row.strip("|").split(" | ") for row in blocks(card)["Values used"].splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == 5]
    return [[row[0], *row[2:]] for row in cells if row[1] == "ALP"]


def test_every_card_is_among_those_checked(given: dict[str, Given]) -> None:
    shown = {situation.slug for answer in given.values() for _, situation in answer.cards}
    files = {path.stem for path in (KNOWLEDGE / "situations").glob("*.toml")}
    assert shown == files - SILENCES


@each_with_cards
def test_card_stands_on_five_blocks(given: dict[str, Given], name: str) -> None:
    assert given[name].cards
    for card, _ in given[name].cards:
        assert tuple(blocks(card)) == BLOCKS
        assert all(text.strip() for text in blocks(card).values())


@each_with_cards
def test_card_names_its_intended_user(given: dict[str, Given], name: str) -> None:
    for card, _ in given[name].cards:
        assert re.search(r"\bfor licensed clinicians\b", card["detail"], re.IGNORECASE)


@each_with_cards
def test_card_says_that_it_is_advisory(given: dict[str, Given], name: str) -> None:
    for card, _ in given[name].cards:
        assert "advisory, does not replace judgement" in card["detail"]


@each_with_cards
def test_card_tells_its_rule_in_words(book: Rulebook, given: dict[str, Given], name: str) -> None:
    for card, situation in given[name].cards:
        rule = situation.criterion.format_map(numbers(book.policy))
        assert rule in blocks(card)["Why this fired"]
        assert len(rule.split()) >= 8


@each_with_cards
def test_card_says_why_it_fired_for_this_patient(given: dict[str, Given], name: str) -> None:
    for card, _ in given[name].cards:
        assert re.search(r"(?m)^- \S", blocks(card)["Why this fired"])


@each_with_cards
def test_each_alp_has_unit_date_and_limit(given: dict[str, Given], name: str) -> None:
    number, unit = r"\d+(\.\d+)?", r"[a-zA-Zµμ\[\]]+/[a-zA-Z]+"
    for card, _ in given[name].cards:
        rows = alp_rows(card)
        assert bool(rows) or not given[name].alp_counts
        for day, value, limit, _ in rows:
            assert re.fullmatch(r"(\d{1,2} )?([A-Z][a-z]{2} )?\d{4}", day)
            shown = rf"((&lt;|&gt;)=?)?{number} ({unit}( \(.*{number} U/L\))?|\(no unit\))"
            assert re.fullmatch(shown, value), value
            bound = rf"≥ {number}" if "(no unit)" in value else rf"≥ {number} {unit}( \(.*\))?"
            assert re.fullmatch(bound, limit), limit


def test_each_limit_says_where_it_comes_from(given: dict[str, Given]) -> None:
    """The laboratory's own, built-in, or that of a trimester: the card always says which."""
    unsaid = {
        name
        for name, answer in given.items()
        for card, _ in answer.cards
        for _, value, limit, remark in alp_rows(card)
        if not re.search("laborator|built-in|trimester", remark)
    }
    assert sorted(unsaid) == []


def in_u_per_l(text: str) -> set[str]:
    """Every number of `26 and 28 U/L` and `0.43 µkat/L`."""
    unit = r"(?:U/L|[µμ]kat/L)"
    pairs = re.findall(rf"(\d[\d.]*) and \d[\d.]* {unit}", text)
    return {*pairs, *re.findall(rf"(\d[\d.]*) {unit}", text)}


@each_with_cards
def test_each_value_that_the_words_name_stands_in_the_table(
    book: Rulebook, given: dict[str, Given], name: str
) -> None:
    policy = set(re.findall(r"\d[\d.]*", " ".join(numbers(book.policy).values())))
    for card, _ in given[name].cards:
        why = [b for b in blocks(card)["Why this fired"].splitlines() if b.startswith("- ")]
        table = [r for r in blocks(card)["Values used"].splitlines() if r.startswith("|")]
        named = in_u_per_l("\n".join([card["summary"], *why]))
        assert named - policy <= in_u_per_l("\n".join(table))


def test_an_earlier_low_that_the_words_name_stands_in_the_table(advisor: Advisor) -> None:
    """However many normal values lie between."""
    between = [alp(60 + i, -1500 + 40 * i, 35) for i in range(6)]
    masked = [alp(60, -10, 35), lab("ggt", 100, "U/L", -10, high=40)]
    answer = ask(advisor, alp(28, -1700, 35), alp(29, -1600, 35), *between, *masked)
    card = cards(answer)[0]
    assert "Earlier low values: 28 and 29 U/L" in card["detail"]
    assert {"28 U/L", "29 U/L"} <= {value for _, value, _, _ in alp_rows(card)}


@each_with_cards
def test_card_names_its_evidence_in_words(
    book: Rulebook, given: dict[str, Given], name: str
) -> None:
    for card, situation in given[name].cards:
        sources = blocks(card)["Sources and rule version"]
        for key in situation.citations:
            source = book.citations[key]
            told = [s for s in sources.splitlines() if source.label in s]
            assert len(told) == 1
            assert told[0].endswith(f": {source.evidence}")
            assert (source.url or "") in told[0]


@each_with_cards
def test_card_has_a_source(book: Rulebook, given: dict[str, Given], name: str) -> None:
    for card, situation in given[name].cards:
        assert situation.citations
        assert card["source"]["label"] == book.citations[situation.citations[0]].label


@each_with_cards
def test_card_says_when_no_action_is_reasonable(
    book: Rulebook, given: dict[str, Given], name: str
) -> None:
    for card, situation in given[name].cards:
        said = situation.no_action.format_map(numbers(book.policy))
        assert re.match(r"No action is reasonable (if|while) ", said)
        assert said in blocks(card)["Options to consider"]


@each_with_cards
def test_card_says_what_would_change_the_advice(
    book: Rulebook, given: dict[str, Given], name: str
) -> None:
    for card, situation in given[name].cards:
        said = situation.would_change.format_map(numbers(book.policy))
        assert re.search(r"would (change this advice|raise concern|settle)", said)
        assert said in blocks(card)["Options to consider"]


@each_with_cards
def test_card_offers_options_not_orders(given: dict[str, Given], name: str) -> None:
    for card, _ in given[name].cards:
        options = re.findall(r"(?m)^- ", blocks(card)["Options to consider"])
        assert len(options) >= 2
        assert re.search(r"\bconsider\b", card["detail"], re.IGNORECASE)


@each_with_cards
def test_card_names_rule_version_and_review(
    book: Rulebook, given: dict[str, Given], name: str
) -> None:
    about, policy = book.about, book.policy
    for card, situation in given[name].cards:
        last = blocks(card)["Sources and rule version"]
        assert f"`{situation.slug}`" in last
        assert f"knowledge {about.version}" in last
        assert f"policy {policy.version}" in last
        assert f"Last clinical review: {about.last_clinical_review}" in last
        assert "Data as of 1 Nov 2026" in last
        assert card["extension"]["org.low-alp-cds.knowledge-version"] == about.version


@each_with_cards
def test_card_says_what_it_does_not_know(given: dict[str, Given], name: str) -> None:
    for card, _ in given[name].cards:
        assert re.search(r"(?m)^- \S", blocks(card)["Not known to this tool"])


@each_with_cards
def test_no_placeholder_is_left_unfilled(given: dict[str, Given], name: str) -> None:
    for text in strings(given[name].response):
        assert not re.search(r"[{}]", text)
        assert not re.search(r"\bNone\b|\bDecimal\b|<function", text)


@each_with_cards
def test_banned_words_are_absent(given: dict[str, Given], name: str) -> None:
    for text in strings(given[name].response):
        assert not BANNED.search(text)
        assert not CRITERIA.search(text)


@each_with_cards
def test_suggestions_only_create_drafts(given: dict[str, Given], name: str) -> None:
    assert set(given[name].response) == {"cards"}, "no systemActions"
    for card, _ in given[name].cards:
        for suggestion in card.get("suggestions", []):
            for action in suggestion["actions"]:
                assert set(action) == {"type", "description", "resource"}
                assert action["type"] == "create"
                resource = action["resource"]
                assert resource["resourceType"] == "ServiceRequest"
                assert (resource["status"], resource["intent"]) == ("draft", "proposal")
                assert "id" not in resource


def test_treatment_is_named_beside_the_values(advisor: Advisor) -> None:
    answer = ask(advisor, *PERSISTENT, taking("alendronate", -4380, -2920))
    assert "Antiresorptives on record: alendronate" in blocks(cards(answer)[0])["Values used"]


@pytest.mark.parametrize(
    "result, reason",
    [
        (alp(20, -100, 35, status="preliminary"), "its status is not final (preliminary)"),
        (alp(20, -100, 35, unit="mg/dL"), "its unit (mg/dL) is not one that we accept"),
        (alp(20, -100, 35, effectiveDateTime="unknown"), "it has no date"),
        (alp(20, -100, 35, comparator="~"), "its comparator is not known"),
        (alp("haemolysed", -100, 35), "it has no value that could be read as one number"),
        (alp(50, -100, 35, comparator="<"), "its comparator leaves open whether it is low"),
    ],
    ids=["not final", "other unit", "no date", "other comparator", "no number", "open comparator"],
)
def test_a_value_that_was_ignored_is_named_with_its_reason(
    advisor: Advisor, result: Json, reason: str
) -> None:
    answer = ask(advisor, *PERSISTENT, result)
    said = blocks(cards(answer)[0])["Values used"].replace("\\", "")
    assert f"1 ALP value ({reason})" in said
