"""`vgt diagnose` on training scripts of others, unchanged: `python -m benchmarks.doctor.scripts FOLDER`.

They are fetched into FOLDER, each repository at one commit, unless they are there already.
"""

from __future__ import annotations

import gzip
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

COMMITS = {
    "pytorch/examples": "77f55b912142e11fcfdf5b530231fb9c52f181e8",
    "yunjey/pytorch-tutorial": "0500d3df5a2a8080ccfccbc00aca0eacc21818db",
    "karpathy/makemore": "988aa59e4d8fefa526d06f3b453ad116258398d4",
    "MorvanZhou/PyTorch-Tutorial": "dbe154a9e56635e51c6b0c2ccea8ae36cfb585a7",
    "eriklindernoren/PyTorch-GAN": "36d3c77e5ff20ebe0aeefd322326a134a279b93e",
    "hunkim/PyTorchZeroToAll": "e5a260fac0b4ff1e2ec434fc6f0d962ac97fc289",
    "graykode/nlp-tutorial": "d05e31ec81d56d70c1db89b99ab07e948f7ebc11",
    "jcjohnson/pytorch-examples": "0003fcdc606a79951e53bf8f46f8574fa4739f23",
    "vinhkhuc/PyTorch-Mini-Tutorials": "bb967869a6ad2c3919b67b0623ce33e36349d413",
    "tanelp/tiny-diffusion": "726b6bbbf2c9e3d23dff9eaea2fda10d0af6a78c",
    "karpathy/ng-video-lecture": "52201428ed7b46804849dea0b3ccf0de9df1a5c3",
    "karpathy/minGPT": "37baab71b9abea1b76ab957409a1cc2fbfba8a26",
}
"""By repository on github.com: the commit."""
LIMIT_S = 400.0


@dataclass(frozen=True)
class Script:
    """A script: where it is started, how it is called, and where it looks for torchvision's MNIST, if it does."""

    repository: str
    folder: str
    call: str
    mnist: str = ""

    @property
    def name(self) -> str:
        # The sizes that follow are not needed to tell two calls of one script apart.
        return f"{self.repository}: {Path(self.folder, self.call.partition(' --n')[0])}"


def _each(repository: str, folder: str, calls: dict[str, str]) -> list[Script]:
    return [Script(repository, folder, call, mnist) for call, mnist in calls.items()]


_GANS = ("gan", "dcgan", "acgan", "wgan_gp")
SCRIPTS = (
    Script("pytorch/examples", "mnist", "main.py --epochs 1", "../data"),
    Script("pytorch/examples", "mnist_rnn", "main.py --epochs 1", "../data"),
    Script("pytorch/examples", "mnist_forward_forward", "main.py --epochs 60 --train_size 500 --test_size 100", "data"),
    Script("pytorch/examples", "vae", "main.py --epochs 1", "../data"),
    Script("pytorch/examples", "siamese_network", "main.py --epochs 1", "../data"),
    Script("pytorch/examples", "dcgan", "main.py --dataset fake --dataroot data --imageSize 64 --ngf 8 --ndf 8"),
    *(
        Script("yunjey/pytorch-tutorial", f"tutorials/{folder}", "main.py", mnist)
        for folder, mnist in {
            "01-basics/linear_regression": "",
            "01-basics/logistic_regression": "../../data",
            "01-basics/feedforward_neural_network": "../../data",
            "02-intermediate/convolutional_neural_network": "../../data",
            "02-intermediate/bidirectional_recurrent_neural_network": "../../data",
            "02-intermediate/recurrent_neural_network": "../../data",
            "03-advanced/generative_adversarial_network": "../../data",
            "03-advanced/variational_autoencoder": "../../data",
        }.items()
    ),
    *(
        Script("karpathy/makemore", ".", f"makemore.py -i names.txt --max-steps 250 -o out-{kind} --type {kind} {size}")
        for size in ("--n-embd 32 --n-embd2 32 --n-layer 2",)
        for kind in ("transformer", "rnn", "gru", "mlp", "bow", "bigram")
    ),
    *_each(
        "MorvanZhou/PyTorch-Tutorial",
        "tutorial-contents",
        {
            "301_regression.py": "",
            "302_classification.py": "",
            "306_optimizer.py": "",
            "401_CNN.py": "mnist",
            "402_RNN_classifier.py": "mnist",
            "403_RNN_regressor.py": "",
            "404_autoencoder.py": "mnist",
            "406_GAN.py": "",
            "406_conditional_GAN.py": "",
            "501_why_torch_dynamic_graph.py": "",
            "503_dropout.py": "",
            "504_batch_normalization.py": "",
        },
    ),
    *(
        Script("eriklindernoren/PyTorch-GAN", f"implementations/{kind}", f"{kind}.py --n_cpu 0", "../../data/mnist")
        for kind in _GANS
    ),
    *_each(
        "hunkim/PyTorchZeroToAll",
        ".",
        {
            "05_linear_regression.py": "",
            "06_logistic_regression.py": "",
            "07_diabets_logistic.py": "",
            "08_2_dataset_loade_logistic.py": "",
            "09_2_softmax_mnist.py": "mnist_data",
            "10_1_cnn_mnist.py": "data",
            "11_1_toy_inception_mnist.py": "data",
            "12_2_hello_rnn.py": "",
            "12_3_hello_rnn_seq.py": "",
            "12_4_hello_rnn_emb.py": "",
            "13_2_rnn_classification.py": "",
            "13_3_char_rnn.py": "",
            "14_1_seq2seq.py": "",
        },
    ),
    *(
        Script("graykode/nlp-tutorial", folder, f"{name or folder.partition('.')[2]}.py")
        for folder, name in {
            "1-1.NNLM": "",
            "1-2.Word2Vec": "Word2Vec-Skipgram(Softmax)",
            "2-1.TextCNN": "",
            "3-1.TextRNN": "",
            "3-2.TextLSTM": "",
            "3-3.Bi-LSTM": "",
            "4-1.Seq2Seq": "",
            "4-2.Seq2Seq(Attention)": "",
            "4-3.Bi-LSTM(Attention)": "",
            "5-1.Transformer": "",
        }.items()
    ),
    *(Script("jcjohnson/pytorch-examples", "nn", f"{name}.py") for name in ("two_layer_net_optim", "dynamic_net")),
    Script("vinhkhuc/PyTorch-Mini-Tutorials", ".", "1_linear_regression.py"),
    *(Script("tanelp/tiny-diffusion", ".", f"ddpm.py --dataset {kind} --num_epochs 10") for kind in ("moons", "line")),
    Script("karpathy/ng-video-lecture", ".", "bigram.py"),
    Script("karpathy/minGPT", ".", "projects/adder/adder.py --trainer.max_iters=220"),
)


def fetch(folder: Path, repository: str) -> Path:
    """Return where a repository is, in its state of COMMITS; fetched, if it is not there."""
    place = folder / repository.replace("/", "+")
    if not place.exists():
        address = f"https://github.com/{repository}"
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", address, str(place)], check=True)
        subprocess.run(["git", "-C", str(place), "checkout", "--quiet", COMMITS[repository]], check=True)
    return place


def place_mnist(root: Path, data: Path) -> None:
    """Put MNIST where torchvision finds it under a root, unpacked."""
    for packed in (data / "MNIST" / "raw").glob("*.gz"):
        target = root / "MNIST" / "raw" / packed.stem
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.decompress(packed.read_bytes()))


def diagnose(script: Script, folder: Path, data: Path) -> dict[str, Any]:
    """Run the doctor on a script for its 200 steps; return the findings, or in "ended" why there are none."""
    place = fetch(folder, script.repository) / script.folder
    if script.mnist:
        place_mnist(place / script.mnist, data)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    vgt = [sys.executable, "-m", "vgtemplate", "diagnose", "--stop", "--json", str(report)]
    quiet = {"MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    # Instead of the repository's own `pip install -e .`.
    paths = [str(fetch(folder, script.repository)), os.environ.get("PYTHONPATH", "")]
    quiet["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    started = time.perf_counter()
    try:
        call = [*vgt, *shlex.split(script.call)]
        done = subprocess.run(
            call, cwd=place, env=os.environ | quiet, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        ended = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
    except subprocess.TimeoutExpired:
        ended = f"not done after {LIMIT_S:.0f} s"
    found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {"findings": [], "steps": []}
    row: dict[str, Any] = {"script": script.name, "steps": len(found["steps"])}
    row["findings"] = [{name: each[name] for name in ("code", "where", "evidence")} for each in found["findings"]]
    return row | ({} if found["steps"] else {"ended": ended}) | {"seconds": round(time.perf_counter() - started, 1)}


def rows(folder: Path, data: Path, only: str) -> Iterator[dict[str, Any]]:
    """Diagnose every script whose name has `only` in it; say what was found."""
    for script in SCRIPTS:
        if only in script.name:
            row = diagnose(script, folder, data)
            codes = ", ".join(finding["code"] for finding in row["findings"])
            click.echo(f"{row['script']}: {codes or row.get('ended') or 'nothing'} ({row['seconds']} s)")
            yield row


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, path_type=Path), envvar="VGT_DATA_DIR", default=Path("data"))
@click.option("--only", default="", help="Scripts with this in their names.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path))
def main(folder: Path, data: Path, only: str, path: Path | None) -> None:
    """Run `vgt diagnose` on training scripts of others, unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    found = list(rows(folder.resolve(), data.resolve(), only))
    watched = [row for row in found if row["steps"]]
    ill = sum(bool(row["findings"]) for row in watched)
    click.echo(f"{len(found)} scripts: {len(watched)} watched, {ill} with findings")
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
