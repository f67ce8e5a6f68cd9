"""Addresses of stores without what is secret in them: fit for a file, a link, a message."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, unquote

_SECRETS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables whose values nobody is to see either."""
_SHORTEST = 3
"""A secret of fewer characters is left in a message: hardly a word would be left of it otherwise."""


def public(uri: str) -> str:
    """Return scheme, host, port and path of an address; a text that is no address stays as it is.

    What stands before an @ counts as a name and a password even where these hold characters that do not belong there.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    place = re.split(r"[?#]", rest.rpartition("@")[2])[0]
    return f"{scheme}://{place}"


def _secrets(uri: str) -> list[str]:
    """Return what of an address, and of the variables beside it, nobody is to see, the longest first."""
    rest = uri.partition("://")[2]
    before = rest.rpartition("@")[0]
    name, _, password = before.partition(":")
    found = [before, name, password, *(os.environ.get(variable, "") for variable in _SECRETS)]
    tail = rest.rpartition("@")[2]
    if marks := re.search(r"[?#]", tail):
        query = tail[marks.start() + 1 :]
        found += [query, *(value for _, value in parse_qsl(query, keep_blank_values=True))]
    found += [unquote(text) for text in found]
    return sorted({text for text in found if len(text) >= _SHORTEST}, key=lambda text: (-len(text), text))


def without_secrets(text: str, uri: str) -> str:
    """Return a message about a store with nothing secret of its address in it, nor of any other address it names."""
    text = re.sub(r"[a-zA-Z][\w+.-]*://\S+", lambda found: public(found[0]), text.replace(uri, public(uri)))
    kept = public(uri)
    for secret in _secrets(uri):
        # A password that is a part of the host's name, say, tells nothing more.
        if secret not in kept:
            text = text.replace(secret, "***")
    return text
