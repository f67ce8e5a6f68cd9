"""Whether records that are judged together were made in one environment; where not, a sentence says how they differ.

Numbers differ in their last bits between machines, libraries and numbers of threads. Verdicts should not; who reads one
is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vgtemplate.records import Record
from vgtemplate.text import write_count

_NOISE = re.compile(r"\((r|tm|c)\)|@.*|\b(cpu|processor|\d+-core)\b", re.IGNORECASE)
"""What makers add to a processor's name."""
ALSO = "also"
"""In the environment of a joined record: those of the other sets of seeds."""
Facts = Mapping[str, frozenset[str]]
"""What is compared -> how it was, in words; several if a training was taken up elsewhere, none where not known."""


def tidy(model: str) -> str:
    """Return a processor's name without what its maker adds: "Intel(R) Xeon(R) CPU @ 2.2GHz" is "Intel Xeon"."""
    return " ".join(_NOISE.sub(" ", model).split())


def join_environments(records: Sequence[Record]) -> dict[str, Any]:
    """Return the environment of joined records: the first one's, with those of the others that differ from it."""
    first = dict(records[0].environment)
    others = [dict(record.environment) for record in records[1:]]
    differing = [other for other in others if facts_of(other) != facts_of(first)]
    return first | ({ALSO: differing} if differing else {})


def facts_of(environment: Mapping[str, Any]) -> Facts:
    """Return what is compared of a record's environment; an exact check, which has none, has no facts."""
    found: dict[str, set[str]] = {"machine": set(), "torch": set(), "threads": set()}
    for each in (environment, *_mappings(environment.get(ALSO))):
        found["machine"] |= {_machine(each)}
        found["torch"] |= {_torch(str(_mapping(each.get("versions")).get("torch") or ""))}
        found["threads"] |= {_threads(part.get("threads")) for part in (each, *_mappings(each.get("parts")))}
    return {name: frozenset(values - {""}) for name, values in found.items()}


def _mapping(value: object) -> Mapping[str, Any]:
    # A record says what it likes of where it was made: no key depends on it.
    return value if isinstance(value, Mapping) else {}


def _mappings(values: object) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _machine(environment: Mapping[str, Any]) -> str:
    """Name what computed: the processor and its instructions, or the device and its kind."""
    device, processor = environment.get("device"), _mapping(environment.get("processor"))
    if device is None or device == "cpu":
        known = (tidy(str(processor.get("model") or "")), str(processor.get("capability") or ""))
        return ", ".join(filter(None, known))
    return f"{environment.get('device_name') or 'a device'} ({device})"


def _torch(version: str) -> str:
    return f"torch {'.'.join(version.split('.')[:2])}" if version else ""


def _threads(number: object) -> str:
    return write_count(number, "thread") if isinstance(number, int) else ""


def describe_differences(arms: Iterable[Facts]) -> str:
    """Return a sentence on how the environments of some arms differ, without its full stop; empty if they do not.

    E.g. "made in different environments: torch 2.13 (3 arms), torch 2.12 (1 arm)".
    """
    counts: dict[str, Counter[str]] = {}
    for facts in arms:
        for name, values in facts.items():
            counts.setdefault(name, Counter()).update(values)
    differing = [_list(counter) for counter in counts.values() if len(counter) > 1]
    return f"made in different environments: {'; '.join(differing)}" if differing else ""


def _list(counter: Counter[str]) -> str:
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{text} ({write_count(number, 'arm')})" for text, number in ordered)
