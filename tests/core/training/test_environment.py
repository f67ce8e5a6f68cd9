"""What a record says of its machine: the processor's model and instructions, whatever the system tells."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from vgtemplate.training import processor
from vgtemplate.training.environment import describe_environment
from vgtemplate.training.processor import describe_processor

X86 = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu sse2 sse4_1 avx avx2 avx512f fma amx_tile

processor\t: 1
model name\t: another
flags\t\t: avx512_bf16
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes sve bf16\nCPU part\t: 0xd40\n"


def test_model_and_features_are_those_of_the_first_core(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(X86)
    told = describe_processor(tmp_path / "cpuinfo")
    assert told["model"] == "Intel(R) Xeon(R) Platinum 8488C"
    assert told["features"] == ["amx_tile", "avx", "avx2", "avx512f", "fma", "sse4_1"]


def test_an_arm_processor_says_its_features_and_has_a_model(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(ARM)
    told = describe_processor(tmp_path / "cpuinfo")
    assert told["features"] == ["asimd", "bf16", "sve"]
    assert told["model"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe:\n::\n"])
def test_where_the_system_says_nothing_python_does(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_bytes(content)
    told = describe_processor(tmp_path / "cpuinfo")
    assert told["model"]
    assert told["features"] == []
    assert told["cores"] >= 1


def test_the_capability_and_the_library_are_those_of_torch() -> None:
    told = describe_processor()
    assert told["capability"] == torch.backends.cpu.get_cpu_capability()
    assert told["blas"].split(",")[0] in torch.__config__.show()


def test_a_record_keeps_the_processor_and_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = describe_environment(torch.device("cpu"))["processor"]
    monkeypatch.setattr(processor, "_read", lambda _: pytest.fail("read again"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process for it"))
    second = describe_environment(torch.device("cpu"))["processor"]
    assert json.loads(json.dumps(first)) == second == dict(describe_processor())
