"""Keys: what is kept of them finds them again and tells nobody what they are; bad files are refused."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.keys import KeyEntry, Keys, KeysError, Scope, make_key, parse_keys
from service.core.logging import redacted

KEY, ENTRY = make_key("studio", [Scope.SYNTHESIZE], requests_per_second=2.5, max_concurrent=3)
OTHER_KEY, OTHER = make_key("lab", [Scope.ADMIN, Scope.EDIT])


def test_a_key_is_found_by_its_entry_and_no_other() -> None:
    keys = Keys([ENTRY, OTHER])
    assert keys.find(KEY) == ENTRY
    assert keys.find(OTHER_KEY) == OTHER
    assert keys.find(make_key("studio", [Scope.SYNTHESIZE])[0]) is None


@given(st.text(max_size=300))
def test_nothing_else_is_a_key(text: str) -> None:
    assert Keys([ENTRY]).find(text) is None


@pytest.mark.parametrize(
    "almost",
    [
        *("", KEY[:-1], KEY + "a", KEY.swapcase(), ENTRY.hash, "x" * 10_000, "\udcff", "é"),
        *(KEY.replace("studio", ""), KEY.replace("studio_", ""), KEY.replace("studio", "\udcff")),
        *(
            KEY[:-1] + "\udcff",
            KEY.replace("studio", "s" * 64),
            KEY.replace("mwk_", "MWK_"),
            "mwk__" + "a" * 43,
        ),
    ],
    ids=range(15),  # keys differ from one worker of the tests to the next
)
def test_almost_a_key_is_none(almost: str) -> None:
    assert Keys([ENTRY]).find(almost) is None


@pytest.mark.parametrize("number", [1, 10_000])
@pytest.mark.parametrize("presented", ["first", "last", "wrong secret", "unknown id"])
def test_a_lookup_costs_one_hash_and_one_comparison_however_many_keys_there_are(
    presented: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [ENTRY.model_copy(update={"id": f"key-{count}"}) for count in range(number)]
    keys = Keys([ENTRY, *copies, OTHER])
    key, found = {
        "first": (KEY, ENTRY),
        "last": (OTHER_KEY, OTHER),
        "wrong secret": (make_key("studio", [Scope.EDIT])[0], None),
        "unknown id": (make_key("nobody", [Scope.EDIT])[0], None),
    }[presented]
    counted: list[str] = []
    compare, blake2b = hmac.compare_digest, hashlib.blake2b

    def counting_compare(left: bytes, right: bytes) -> bool:
        counted.append("comparison")
        return compare(left, right)

    def counting_hash(*args: Any, **options: Any) -> object:
        counted.append("hash")
        return blake2b(*args, **options)

    monkeypatch.setattr(hmac, "compare_digest", counting_compare)
    monkeypatch.setattr(hashlib, "blake2b", counting_hash)
    assert keys.find(key) == found
    assert sorted(counted) == ["comparison", "hash"]


@pytest.mark.parametrize("name", ["a", "a_b", "_".join("abc"), "a-b.c_d", "0" * 64])
def test_any_id_is_found_in_its_key(name: str) -> None:
    key, entry = make_key(name, [Scope.EDIT])
    assert key.startswith(f"mwk_{name}_")
    assert Keys([ENTRY, entry]).find(key) == entry


def test_an_entry_under_another_id_does_not_let_the_key_in() -> None:
    assert Keys([ENTRY.model_copy(update={"id": "lab"})]).find(KEY) is None


def test_a_key_that_was_found_is_followed_through_changes_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = ENTRY.model_copy(update={"burst": 9, "scopes": frozenset({Scope.EDIT})})
    replaced = make_key("studio", [Scope.SYNTHESIZE])[1]
    monkeypatch.delattr(hashlib, "blake2b")  # it costs no hash
    assert Keys([OTHER, ENTRY]).current(ENTRY) == ENTRY
    assert Keys([changed]).current(ENTRY) == changed
    assert Keys([OTHER]).current(ENTRY) is None
    assert Keys([replaced]).current(ENTRY) is None


def test_what_is_kept_has_nothing_of_the_key() -> None:
    assert KEY.removeprefix("mwk_studio_")[:8] not in ENTRY.to_toml()
    assert ENTRY.hash not in repr(ENTRY)


def test_the_same_key_has_another_hash_under_another_salt() -> None:
    assert len({make_key("a", [Scope.EDIT])[1].salt for _ in range(8)}) == 8
    other_salt = ENTRY.model_copy(update={"salt": OTHER.salt})
    assert Keys([other_salt]).find(KEY) is None


def test_an_entry_is_read_as_it_was_written() -> None:
    assert list(parse_keys(ENTRY.to_toml() + "\n" + OTHER.to_toml())) == [ENTRY, OTHER]


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    st.sets(st.sampled_from(Scope), min_size=1),
    st.none() | st.floats(min_value=1e-6, max_value=1e6),
    st.none() | st.integers(min_value=1, max_value=10**6),
    st.none() | st.integers(min_value=1, max_value=10**6),
)
def test_any_entry_survives_its_file(
    name: str, scopes: set[Scope], rate: float | None, burst: int | None, concurrent: int | None
) -> None:
    key, entry = make_key(
        name, list(scopes), requests_per_second=rate, burst=burst, max_concurrent=concurrent
    )
    assert parse_keys(entry.to_toml()).find(key) == entry


def entry_with(**changes: Any) -> str:
    lines = dict(line.split(" = ") for line in ENTRY.to_toml().splitlines()[1:])
    lines |= {name: str(value) for name, value in changes.items()}
    return "[[keys]]\n" + "\n".join(f"{name} = {value}" for name, value in lines.items() if value != "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys = 1", "keys: is not a list of tables"),
        ("keys = [1]", "key 1: entry: "),
        ("[[key]]", "key: no such table"),
        ("[[keys]", "is not TOML"),
        (entry_with(id='"a b"'), "key a b: id: "),
        (entry_with(id=""), "key 1: id: field required"),
        (entry_with(scopes="[]"), "key studio: scopes: .*at least one of synthesize, edit, admin"),
        (entry_with(scopes='["paint"]'), "key studio: scopes.*'synthesize', 'edit' or 'admin'"),
        (entry_with(salt='"00"'), "key studio: salt: "),
        (entry_with(hash='"xyz"'), "key studio: hash: "),
        (entry_with(requests_per_second=0), "key studio: requests_per_second: .*greater than 0"),
        (entry_with(requests_per_second="inf"), "key studio: requests_per_second: "),
        (entry_with(burst=0), "key studio: burst: "),
        (entry_with(max_concurrent=0), "key studio: max_concurrent: "),
        (entry_with(burst="0x" + "f" * 400), "key studio: burst: .*less than or equal to 1000000000"),
        (entry_with(max_concurrent=10**10), "key studio: max_concurrent: "),
        (entry_with(rate=1), "key studio: rate: extra inputs are not permitted"),
        (ENTRY.to_toml() + ENTRY.to_toml(), "key studio: 2 entries have this id"),
    ],
)
def test_a_bad_file_is_refused_with_the_key_and_the_field(text: str, problem: str) -> None:
    with pytest.raises(KeysError, match=problem):
        parse_keys(text)


def test_every_problem_of_a_file_is_told() -> None:
    with pytest.raises(KeysError) as caught:
        parse_keys(entry_with(burst=0, max_concurrent=0) + "\n" + entry_with(id='"b"', burst=-1))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("field", ["id", "salt", "hash", "scopes", "burst", "extra"])
def test_a_key_in_the_wrong_place_is_not_repeated(field: str) -> None:
    with pytest.raises(KeysError) as caught:
        parse_keys(entry_with(**{field: f'"{KEY} x"'}))
    assert KEY not in str(caught.value)
    assert KEY[:20] not in str(caught.value)


@given(st.text())
def test_any_text_is_keys_or_refused(text: str) -> None:
    with suppress(KeysError):
        assert len(parse_keys(text)) == 0


NUMBER, DEPTH = "9" * 5_000, 50_000


@pytest.mark.parametrize(
    "text",
    [
        f"a = {NUMBER}",
        entry_with(burst=NUMBER),
        entry_with(requests_per_second=f"{NUMBER}.0"),
        entry_with(burst="[" * DEPTH + "]" * DEPTH),
        entry_with(burst="{a=" * DEPTH + "1" + "}" * DEPTH),
        entry_with(extra="[" * 300 + "]" * 300),
        ".".join("a" * DEPTH) + " = 1",
        "[" + ".".join("a" * DEPTH) + "]",
        "\0",
        "\ufeff" + ENTRY.to_toml(),
    ],
    ids=range(10),
)
def test_hostile_text_is_refused_in_a_few_words(text: str) -> None:
    with pytest.raises(KeysError) as caught:
        parse_keys(text)
    assert len(str(caught.value)) < 1000


def test_of_very_many_problems_the_first_are_told() -> None:
    with pytest.raises(KeysError) as caught:
        parse_keys((entry_with(burst=0) + "\n") * 5_000)
    assert caught.value.problems[-1] == "and 4980 more problems"
    assert len(caught.value.problems) == 21


@pytest.mark.parametrize("text", [KEY, f"x{KEY}y", f"'authorization': 'Bearer {KEY}'"], ids=range(3))
def test_keys_are_masked_wherever_they_stand(text: str) -> None:
    assert KEY[:12] not in redacted(text)
    assert "mwk_***" in redacted(text)


def test_private_keys_are_masked_even_when_cut_off() -> None:
    pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----"
    for text in (pem, repr(pem), pem[:40]):
        assert "MHc" not in redacted(f"a {text}")
    assert redacted(f"a {pem} b").endswith("*** b")


def test_a_burst_is_a_seconds_worth_unless_it_says_otherwise() -> None:
    def size(**limits: Any) -> float:
        return make_key("a", [Scope.EDIT], **limits)[1].bucket_size

    assert size(requests_per_second=2.5) == 3
    assert size(requests_per_second=0.1) == 1
    assert size(requests_per_second=2.5, burst=10) == 10


@pytest.mark.parametrize("field", list(KeyEntry.model_fields))
def test_entries_do_not_change(field: str) -> None:
    before = ENTRY.model_dump()
    with pytest.raises(ValueError, match="frozen"):
        setattr(ENTRY, field, getattr(OTHER, field))
    assert ENTRY.model_dump() == before
