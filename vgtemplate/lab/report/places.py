"""What the first page lists of the figures on the other pages, so that its search finds them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A figure on another page."""

    title: str
    caption: str
    address: str
    """Page and the identifier on it, as a link has them."""
    articles: tuple[str, ...] = ()
    """Keys of the articles that show it."""
