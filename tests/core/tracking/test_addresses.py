"""Nothing secret of an address is left, wherever in it the secret stands and whatever is in it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vgtemplate.tracking.addresses import public, without_secrets

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
# Beginnings and ends that no host, path or sentence of these tests has.
SECRETS = st.text("abc123:@/?#%&=+!$ é", max_size=8).map(lambda text: f"Xq7{text}9Zk")
SCHEMES = st.sampled_from(["http", "https", "postgresql+psycopg2", "mysql", "sqlite", "s3"])


@given(SCHEMES, WORDS, st.integers(1, 65535), st.lists(WORDS, max_size=3), SECRETS, SECRETS, st.booleans())
@example("https", "team", 5000, [], "Xq7@9Zk", "Xq7/9Zk", False)
def test_what_is_kept_is_scheme_host_port_and_path(
    scheme: str, host: str, port: int, path: list[str], name: str, password: str, is_quoted: bool
) -> None:
    place = "/".join([f"{host}:{port}", *path])
    written = [quote(text, safe="") if is_quoted else text for text in (name, password)]
    assert public(f"{scheme}://{':'.join(written)}@{place}") == f"{scheme}://{place}"
    assert public(f"{scheme}://{place}?token={quote(password)}#{quote(name)}") == f"{scheme}://{place}"
    assert public(f"{scheme}://{place}") == f"{scheme}://{place}"


@given(SCHEMES, SECRETS, SECRETS)
def test_no_message_tells_a_secret(scheme: str, name: str, password: str) -> None:
    host = "team.example"
    uris = [
        f"{scheme}://{name}:{password}@{host}/x",
        f"{scheme}://{quote(name, safe='')}:{quote(password, safe='')}@{host}/x",
        f"{scheme}://{host}/x?token={quote(password, safe='')}",
    ]
    for uri in uris:
        messages = [
            f"cannot connect to {uri}: refused",
            f"Max retries exceeded with url: /x?token={quote(password, safe='')} (host={host})",
            f"password {password!s} is wrong",
            f"see {uri} and {uri}",
        ]
        for message in messages[: 1 if uri == uris[0] else None]:
            told = without_secrets(message, uri)
            assert password not in told
            assert quote(password, safe="") not in told
            assert (host in told) == (host in message)


@pytest.mark.parametrize(
    "uri", ["", "databricks", "databricks://profile", "file:/x/y", "./mlruns", "sqlite:////a/b.db"]
)
def test_address_without_a_secret_stays_as_it_is(uri: str) -> None:
    assert public(uri) == uri


def test_secrets_of_the_environment_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-en-123")
    assert without_secrets("Bearer tok-en-123 is refused", "https://host") == "Bearer *** is refused"
    assert without_secrets("it is refused", "https://host") == "it is refused"
