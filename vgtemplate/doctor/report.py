"""What the doctor says: findings, notes, and the profiles that they rest on; as text, as JSON, as a page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vgtemplate.doctor.evidence import Array, Evidence
from vgtemplate.doctor.html import write_page, write_short
from vgtemplate.text import write_count

CERTAIN, LIKELY = "certain", "likely"


@dataclass(frozen=True)
class Proof:
    """Whether a finding's cure works: short copies of the training were trained, as it is and cured.

    Args:
        applied: the cure that was applied to most effect, in words; "" where none could be.
        cured: in how many copies the symptom was gone.
        of: how many pairs of copies were trained.
        reason: why none could be applied.
        loss_as_is: of the copies as they are, the median over the last steps; None where it is not finite.
        loss_cured: of the cured ones.
    """

    applied: str
    cured: int
    of: int
    reason: str = ""
    loss_as_is: float | None = None
    loss_cured: float | None = None

    @property
    def is_proven(self) -> bool:
        """Whether it is a cure: it helped in every copy."""
        return bool(self.applied) and 0 < self.of == self.cured

    def __str__(self) -> str:
        if not self.applied:
            return f"{'not proven' if self.of else 'cannot be applied from outside'}: {self.reason}"
        as_is, cured = ("not finite" if x is None else f"{x:.4g}" for x in (self.loss_as_is, self.loss_cured))
        word = "proven: cured" if self.is_proven else "not proven: cured"
        return f"{word} in {self.cured} of {self.of} copies by {self.applied} (loss {as_is} as is, {cured} cured)"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        code: its name, of CODES.
        where: modules and parameters, or lines of code.
        since_step: the first watched step that shows it.
        evidence: the numbers, and what they were compared with.
        cause: in a sentence.
        cure: what to do.
        confidence: "certain" where it follows from what was seen, "likely" where it rests on a threshold.
        proof: whether the cure was tried, and works.
    """

    code: str
    where: tuple[str, ...]
    since_step: int
    evidence: str
    cause: str
    cure: str
    confidence: str = CERTAIN
    proof: Proof | None = None

    @property
    def advice(self) -> str:
        """What `cure` is called: a cure only once it is proven."""
        return "cure" if self.proof is not None and self.proof.is_proven else "advice"


@dataclass
class Report:
    """What was found in a training; while it is watched, `findings` are those so far.

    `layers` and `profile` have the RMS of dL/dz by layer, (S, L), at the watched `steps`.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    profiles: dict[str, Array] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        return not self.findings

    @property
    def codes(self) -> list[str]:
        """The codes of the findings, the gravest first."""
        return [finding.code for finding in self.findings]

    def series(self) -> dict[str, Array]:
        """Return every series that was watched, (1, S, L)."""
        return {name: values[np.newaxis] for name, values in self.profiles.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        profile = self.profiles.get("gradient_rms", np.empty((0, 0)))
        return {
            "healthy": self.is_healthy,
            "findings": [_plain_finding(finding) for finding in self.findings],
            "notes": list(self.notes),
            "steps": list(self.steps),
            "losses": [_plain(loss) for loss in self.losses],
            "layers": list(self.layers),
            "gradient_rms": [[_plain(value) for value in row] for row in profile],
        }

    def to_html(self) -> str:
        """Return it as a whole page that loads nothing."""
        return write_page(self)

    def _repr_html_(self) -> str:
        return write_short(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        found = "healthy" if self.is_healthy else ", ".join(self.codes)
        head = f"{write_count(len(self.steps), 'step')} watched: {found}"
        lines = [head]
        for finding in self.findings:
            places = ", ".join(finding.where[:6]) + (f" and {len(finding.where) - 6} more" if finding.where[6:] else "")
            lines += [
                f"{finding.code} ({finding.confidence}; since step {finding.since_step}): {places}",
                f"  seen:  {finding.evidence}",
                f"  cause: {finding.cause}",
                f"  {finding.advice}: {finding.cure}",
            ]
            lines += [f"  {finding.proof}"] if finding.proof is not None else []
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def take(self, evidence: Evidence, findings: list[Finding], notes: list[str]) -> None:
        """Hold what is known by now."""
        self.findings, self.notes = findings, notes
        self.steps = list(evidence.measurements.steps)
        self.losses = [step.loss for step in evidence.steps]
        self.layers = list(evidence.measurements.layers)
        self.activations = dict(evidence.activations)
        self.profiles = {name: values[0] for name, values in evidence.measurements.series().items()}


def _plain_finding(finding: Finding) -> dict[str, Any]:
    proof = finding.proof
    said = None if proof is None else asdict(proof) | {"proven": proof.is_proven, "text": str(proof)}
    return asdict(finding) | {"where": list(finding.where), "proof": said}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
