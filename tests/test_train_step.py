"""A training step: recorded and repeated, or made by several processes, it is the plain one."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from nets import MMIL_Net
from nets.fast import LAYERS, accelerate, for_device
from tests.conftest import ROOT, TRAIN
from utils.base.distributed import ProcessGroup
from utils.train import networks
from utils.train.cuda_graphs import GraphedStep
from utils.train.schedule import set_learning_rate
from utils.train.step import TrainStep

TERMS = ("video", "audio", "visual")
CPU = torch.device("cpu")


def network() -> tuple[MMIL_Net, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = accelerate(MMIL_Net(6, 7, hidden_dim=8, nhead=2, ff_dim=12, num_classes=3))
    return net, torch.optim.AdamW(net.parameters(), lr=1e-2, fused=True)


def batches(*sizes: int) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    return [
        {
            "audio": torch.randn(n, 10, 6),
            "visual": torch.randn(n, 10, 7),
            "visual_st": torch.randn(n, 10, 512),
            "weak": torch.randint(2, (n, 3)).float(),
            "pseudo_a": torch.randint(2, (n, 10, 3)).float(),
            "pseudo_v": torch.randint(2, (n, 10, 3)).float(),
        }
        for n in sizes
    ]


class Recorder:
    """Stands for CUDA's: what is recorded runs on the same tensors each time, and not while it is recorded."""

    def __init__(self):
        self.recorded, self.replayed = 0, 0

    def __call__(self, function):
        self.recorded += 1

        def replay():
            self.replayed += 1
            function()

        return replay


def test_a_recorded_step_is_the_plain_one():
    """Everything but the capture itself: fixed inputs, two sizes, warm-up without a trace, learning rates."""
    data, values, weights = batches(5, 5, 2, 5, 2), [], []
    recorder = Recorder()
    for kind, more in ((TrainStep, {}), (GraphedStep, {"record": recorder})):
        net, optimizer = network()
        step = kind(net, optimizer, terms=TERMS, grad_norm=1.0, device=CPU, **more)
        torch.manual_seed(2)
        found = []
        for i, batch in enumerate(data):
            set_learning_rate(optimizer, 1e-2 / (i + 1))
            found.append(step({name: value.clone() for name, value in batch.items()}))
        values.append(torch.stack(found))
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*values) and torch.equal(*weights)
    assert values[0][:, -1].tolist() == [5, 5, 2, 5, 2]
    assert (recorder.recorded, recorder.replayed) == (4, 10)


def test_a_step_that_cannot_be_recorded_is_a_plain_one(capsys):
    """With a note, said once, and without a trace of the attempt."""
    data, weights = batches(5, 2, 5), []

    def fail(function):
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    for kind, more in ((TrainStep, {}), (GraphedStep, {"record": fail})):
        net, optimizer = network()
        step = kind(net, optimizer, terms=TERMS, grad_norm=1.0, device=CPU, **more)
        torch.manual_seed(2)
        for batch in data:
            step(batch)
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*weights)
    reason = "operation not permitted when stream is capturing"
    assert capsys.readouterr().err == f"note: CUDA graphs cannot be recorded ({reason}); going on without them\n"


def test_a_warm_up_that_fails_leaves_no_trace(monkeypatch, capsys):
    net, optimizer = network()
    step = GraphedStep(net, optimizer, terms=TERMS, grad_norm=1.0, device=CPU, record=Recorder())
    before = torch.cat([p.detach().flatten() for p in net.parameters()])
    update, calls = step.update, []

    def fail_once(sums):
        values = update(sums)
        if not calls:
            calls.append(1)
            raise RuntimeError("a kernel is missing")
        return values

    monkeypatch.setattr(step, "update", fail_once)
    step._try_to_record(5, batches(5)[0])
    assert torch.equal(before, torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert "a kernel is missing" in capsys.readouterr().err


def test_faster_layers_that_fail_on_a_device_leave_the_plain_network(capsys):
    """The meta device stands for a GPU on which they fail: there are no numbers to compare."""
    settings = {"input_a_dim": 6, "input_v_dim": 7, "input_st_dim": 512}
    shape = {"hidden_dim": 8, "nhead": 2, "ff_dim": 12, "num_classes": 3}
    net = MMIL_Net(6, 7, **shape).train()
    kept = networks.accelerated(net.to("meta"), settings, torch.float32, torch.device("meta"))
    assert kept is net and net.training and not any(type(m) in LAYERS.values() for m in kept.modules())
    assert "note: the faster layers do not work on meta (" in capsys.readouterr().err
    fast = networks.accelerated(MMIL_Net(6, 7, **shape), settings, torch.float32, CPU)
    assert any(type(m) in LAYERS.values() for m in fast.modules()) and not capsys.readouterr().err


def test_only_a_cpu_gets_the_faster_layers_by_default():
    for device, expected in (("cpu", True), ("meta", False)):
        net = for_device(MMIL_Net(6, 7, hidden_dim=8, nhead=2), torch.device(device))
        assert any(type(m) in LAYERS.values() for m in net.modules()) == expected


def test_warm_up_goes_on_from_an_optimizer_that_has_worked():
    data, weights = batches(5, 3), []
    for record in (None, Recorder()):
        net, optimizer = network()
        plain = TrainStep(net, optimizer, terms=TERMS, grad_norm=0, device=CPU)
        torch.manual_seed(2)
        plain(data[0])
        step = GraphedStep(net, optimizer, terms=TERMS, grad_norm=0, device=CPU, record=record) if record else plain
        step(data[1])
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*weights)


def test_a_learning_rate_on_the_device_stays_where_it_is():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=torch.tensor(0.5))
    place = optimizer.param_groups[0]["lr"]
    set_learning_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is place and place.item() == 0.25


@pytest.mark.parametrize("count", [2, 3])
def test_parts_of_a_batch_are_all_of_it(count):
    for videos in (0, 1, 2, 7, 64):
        parts = [ProcessGroup(rank, count).shard(torch.arange(videos)) for rank in range(count)]
        assert sorted(torch.cat(parts).tolist()) == list(range(videos))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


# --------------------------------------------------------------------------------------- several processes

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import main
from utils.base import command
command.run(main.main, main.get_args_parser())
"""


@pytest.fixture
def torchrun(workspace):
    """Run main.py in `count` processes, with a dropout of one's own."""

    def run(count: int, dropout: float, *flags) -> subprocess.CompletedProcess:
        script = workspace / "run.py"
        script.write_text(SCRIPT.format(root=str(ROOT)))
        launch = [] if count == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
        argv = [sys.executable, *launch, str(script), *map(str, TRAIN), "--dropout", str(dropout), *flags]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=300)

    return run


@pytest.fixture
def ranks(workspace):
    """Run main.py as `count` ranks, as torchrun starts them, which itself takes seconds to start."""

    def run(count: int, dropout: float, *flags, script: str = SCRIPT) -> tuple[int, str, str]:
        file = workspace / "ranks.py"
        file.write_text(script.format(root=str(ROOT)))
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        env = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        argv = [sys.executable, str(file), *map(str, TRAIN), "--dropout", str(dropout), *flags]
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen(
                argv,
                env=env | {"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(count)},
                stdout=pipe,
                stderr=pipe,
                text=True,
            )
            for r in range(count)
        ]
        results = [process.communicate(timeout=300) for process in processes]
        out, err = ("".join(texts) for texts in zip(*results, strict=True))
        return max(abs(process.returncode) for process in processes), out, err

    return run


def lines(workspace, name: str, file: str = "iterations.jsonl") -> list[dict]:
    return [json.loads(line) for line in (workspace / "models" / name / file).read_text().splitlines()]


def numbers(rows: list[dict]) -> np.ndarray:
    return np.array([[value for name, value in row.items() if name != "seconds"] for row in rows], float)


@pytest.mark.parametrize("recipe", [(), ("--losses", "video,audio,visual,guided", "--reweight", "0.5")])
def test_two_processes_train_as_one(workspace, ranks, recipe):
    """24 videos in batches of 23: the last one leaves nothing for the second process."""
    flags = ("--batch_size", "23", "--grad_norm", "0.5", *recipe)
    for count in (1, 2):
        status, out, err = ranks(count, 0.0, *flags, "--model_name", f"of_{count}")
        assert status == 0, err
    assert "2 processes, cpu" in out and out.count("Best F scores") == 1
    one, two = (numbers(lines(workspace, f"of_{count}")) for count in (1, 2))
    assert len(one) == 4
    np.testing.assert_allclose(two, one, rtol=2e-5)
    np.testing.assert_allclose(*(numbers(lines(workspace, f"of_{count}", "log.jsonl")) for count in (1, 2)), rtol=2e-5)


STOP = """import main
from utils.train.run import Run
calls, finish = [], Run.finish_epoch
def once(*args, **kwargs):
    calls.append(1)
    if len(calls) == 2:
        raise KeyboardInterrupt
    return finish(*args, **kwargs)
Run.finish_epoch = once
"""


def test_two_processes_are_stopped_and_resumed(workspace, ranks):
    """With dropout, of which each has its own; the second of two epochs is made by a second run."""
    status, _, err = ranks(2, 0.1, "--model_name", "whole")
    assert status == 0, err
    assert ranks(2, 0.1, "--model_name", "stopped", script=SCRIPT.replace("import main\n", STOP))[0] != 0
    assert torch.load(workspace / "models/stopped/checkpoint_last.pt")["epoch"] == 1

    status, _, err = ranks(1, 0.1, "--model_name", "stopped", "--resume")
    assert status == 2 and "the number of processes was 2, is 1" in err
    status, _, err = ranks(2, 0.1, "--model_name", "stopped", "--resume")
    assert status == 0, err
    assert lines(workspace, "stopped") == lines(workspace, "whole")
    weights = [torch.load(workspace / f"models/{n}/checkpoint_last.pt")["model"] for n in ("whole", "stopped")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_error_of_the_first_process_ends_all_at_once(workspace, torchrun):
    (workspace / "models/there").mkdir(parents=True)
    result = torchrun(2, 0.1, "--model_name", "there")
    assert result.returncode != 0 and "models/there: exists" in result.stderr
    assert "forcefully exiting" not in result.stderr  # what torchrun does 30 s later to those that do not end


def test_the_published_order_is_for_one_process(torchrun):
    result = torchrun(2, 0.1, "--exact", "--model_name", "run")
    assert result.returncode != 0 and "--exact runs in one process" in result.stderr
