"""The published rules, written again over plain recordings of the same trainings, with the defaults of their authors.

- **SageMaker Debugger**, built-in rules, defaults ("List of Debugger built-in rules" in its developer guide):
  VanishingGradient (mean |gradient| of a layer < 1e-7), ExplodingTensor (a gradient or output that is NaN or infinite),
  DeadRelu (a unit active in < 1 % of its inputs is dead; > 50 % of a layer's are), SaturatedActivation (tanh inputs
  beyond 9.4999, sigmoid inputs below -23 or above 16.99999; > 50 % of a layer's),
  PoorWeightInitialization (ratio of the layers' largest to smallest variance of weights > 10, or the 5th to 95th
  percentile of a layer's gradient spans < 0.001), LossNotDecreasing (falls by < 0.1 % in 10 steps; here of the mean
  over ten steps, since on single batches it fires on nearly everything), WeightUpdateRatio
  (> 10 or < 1e-8), AllZero (a tensor all zeros), TensorVariance (of weights > 10 or < 1e-5), UnchangedTensor (a tensor
  that stays the same, rtol 1e-5, for 3 steps).
- **AutoTrainer** (Zhang et al., ICSE 2021, table 1; `utils/monitor.py` of its repository): vanishing (first layer's
  gradient norm / last layer's < 1e-3 and the first's < 1e-4), exploding (ratio > 70, or NaN), dying ReLU (> 70 % of all
  gradients are zero), oscillating (accuracy swings by >= 0.03 in >= 20 % of the epochs), slow (accuracy never rises by
  0.01); all but NaN and oscillation only where the accuracy stays below 0.7. An epoch here is a tenth of the steps.
- **DeepLocalize / DeepDiagnosis** (Wardat et al., ICSE 2021 and 2022; `callbacks.py` of the artefact): dead (>= 70 % of
  a ReLU layer's outputs <= 0), saturated (> 50 % of tanh or sigmoid inputs beyond 5), vanishing (mean |g| < 1e-7),
  numerical (NaN, infinite or all zero), variance of weights outside [1e-5, 10], loss that does not fall.
- **Lightning's gradient norm** (`track_grad_norm`, `grad_norm`) with the thresholds that guides give: a total above
  100 is exploding, below 1e-6 vanishing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.doctor.case import Case
from benchmarks.doctor.recording import Recording, record


def sagemaker(seen: Recording) -> set[str]:
    """Return the codes that SageMaker Debugger's rules come nearest to."""
    codes = set()
    if (seen.gradient_mean < 1e-7).any():
        codes.add("vanishing-depth")
    if seen.broken:
        codes.add("exploding-depth")
    if any(float((share < 0.01).mean()) > 0.5 for share in seen.active):
        codes.add("dead-units")
    if any(share > 0.5 for share in seen.far_amazon):
        codes.add("saturated-units")
    varied = seen.weight_variance[0][seen.weight_variance[0] > 0]
    if (varied.size and varied.max() / varied.min() > 10) or (seen.gradient_span[:1] < 1e-3).any():
        codes.add("symmetric-initialisation")
    if _stalls(seen.losses, 10, 0.001):
        codes.add("step-too-small")
    ratio = seen.update_ratio[np.isfinite(seen.update_ratio)]
    if (ratio > 10).any():
        codes.add("step-too-large")
    if (ratio < 1e-8).any() or seen.unchanged:
        codes.add("not-in-optimizer")
    if (seen.gradient_zero >= 1).any():
        codes.add("stuck-at-zero")
    if (seen.weight_variance > 10).any() or ((seen.weight_variance > 0) & (seen.weight_variance < 1e-5)).any():
        codes.add("symmetric-initialisation")
    return codes


def _stalls(losses: np.ndarray, steps: int, share: float) -> bool:
    means = np.array([losses[n : n + steps].mean() for n in range(0, len(losses) - steps + 1, steps)])
    return bool((means[1:] > means[:-1] - share * np.abs(means[:-1])).any())


def autotrainer(seen: Recording) -> set[str]:
    """Return AutoTrainer's five problems under our names."""
    if seen.broken or not np.isfinite(seen.losses).all():
        return {"exploding-depth"}
    accuracy = seen.epochs()
    poor = accuracy is None or accuracy.max() < 0.7
    slow = accuracy is not None and np.diff(accuracy).max(initial=0.0) < 0.01
    if accuracy is not None and not poor and not slow:
        return {"oscillation"} if _swings(accuracy, 0.03, 0.2) else set()
    first, last = seen.gradient_norm[:, 0], seen.gradient_norm[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = first / last
    if (seen.all_zero >= 0.7).any():
        return {"dead-units"}
    if (ratio > 70).any():
        return {"exploding-depth"}
    if ((ratio < 1e-3) & (first < 1e-4)).any():
        return {"vanishing-depth"}
    return {"step-too-small"} if slow else set()


def _swings(values: np.ndarray, threshold: float, rate: float) -> bool:
    tops = [b for a, b, c in zip(values, values[1:], values[2:], strict=False) if b >= a and b >= c]
    lows = [b for a, b, c in zip(values, values[1:], values[2:], strict=False) if b <= a and b <= c]
    return sum(top - low >= threshold for top, low in zip(tops, lows, strict=False)) >= rate * len(values)


def deepdiagnosis(seen: Recording) -> set[str]:
    """Return the symptoms of DeepLocalize and DeepDiagnosis under our names."""
    codes = set()
    if seen.zeros.size and (seen.zeros >= 0.7).any():
        codes.add("dead-units")
    if any(share > 0.5 for share in seen.far_diagnosis):
        codes.add("saturated-units")
    if (seen.gradient_mean < 1e-7).any():
        codes.add("vanishing-depth")
    if seen.broken:
        codes.add("exploding-depth")
    if ((seen.weight_variance > 0) & (seen.weight_variance < 1e-5)).any() or (seen.weight_variance > 10).any():
        codes.add("symmetric-initialisation")
    epochs = np.array([part.mean() for part in np.array_split(seen.losses, 10)])
    if np.isfinite(epochs).all() and (np.diff(epochs) >= 0).all():
        codes.add("step-too-small")
    return codes


def gradient_norm(seen: Recording) -> set[str]:
    """Return what two fixed thresholds on the total gradient norm say."""
    total = np.sqrt(np.nansum(seen.gradient_norm**2, 1))
    total = total[~np.isnan(seen.gradient_norm).all(1)]
    codes = set()
    if (total > 100).any() or seen.broken:
        codes.add("exploding-depth")
    if (total < 1e-6).any():
        codes.add("vanishing-depth")
    return codes


RULES: dict[str, Callable[[Recording], set[str]]] = {
    "SageMaker Debugger": sagemaker,
    "AutoTrainer": autotrainer,
    "DeepLocalize/DeepDiagnosis": deepdiagnosis,
    "gradient norm 1e-6 to 100": gradient_norm,
}
PEERS = tuple(RULES)


def names_of_peers(case: Case, seed: int) -> dict[str, set[str]]:
    """Return the codes that each peer's rules name, after one plain training with a recording."""
    seen = record(case, seed)
    return {name: rule(seen) for name, rule in RULES.items()}
