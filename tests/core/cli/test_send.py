from vgtemplate.cli import send
from vgtemplate.cli.send import Sender, label_of, override_words
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job
from vgtemplate.tracking.outbox import Description, Run, description_of, remember


def job(seeds: tuple[int, ...]) -> Job:
    return Job("k1", "plain", "e", ArmConfig(), seeds)


def test_run_is_named_by_its_arm_and_by_what_was_changed():
    words = override_words(["residual"], ["data.dataset=cifar10", "model.depth = 50", "model.settings.width=3"])
    assert words == ["residual", "cifar10", "depth=50", "width=3"]
    assert label_of(job(tuple(range(10))), words) == "plain residual cifar10 depth=50 width=3"
    assert label_of(job(tuple(range(10))), []) == "plain"
    assert label_of(job((0, 1, 2)), []) == "plain (seeds 0 to 2)"
    assert label_of(job((7,)), []) == "plain (seed 7)"


def test_verdict_of_a_claim_is_not_overwritten_by_a_training_of_its_arms(results, monkeypatch):
    monkeypatch.setattr(send.Tracker, "send", lambda self, parcel: remember(results, parcel))
    verdict = Description("e", "confirmed: it shrinks", "- slope", {"verdict": "confirmed"})
    remember(results, verdict)
    sender = Sender(results, True, print)
    sender.describe("e", "Trained by `vgt train e.yaml`")
    assert description_of(results, "e") == verdict
    sender.describe("other", "Trained by `vgt train other.yaml`", "Some notes.")
    assert description_of(results, "other") == Description("other", "Trained by `vgt train other.yaml`", "Some notes.")


def test_without_tracking_nothing_is_noted(results):
    sender = Sender(results, False, print)
    sender.plan([Run("e", "plain", "k1")])
    sender.describe("e", "Trained")
    assert not results.exists()
