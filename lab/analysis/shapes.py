"""Measure speed and memory at the paper's shapes with random weights: the columns of Table 1 that need no training."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deformer_qa.lab.analysis.costs import Run, bytes_requested, operations, ratio, seconds_in_turn
from deformer_qa.lab.analysis.engine_shapes import engine_costs, engine_runs
from deformer_qa.lab.analysis.record import Record
from deformer_qa.reader.families import family_named
from deformer_qa.reader.networks.backbone import Backbone
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.networks.layers import Context

_BERT = {"vocab_size": 30_522, "max_position_embeddings": 512, "type_vocab_size": 2}


@dataclass(frozen=True)
class PublishedModel:
    """A model of the paper: its ``config.json``, and the number of layers that run separately there."""

    name: str
    config: dict[str, Any]
    k: int


@dataclass(frozen=True)
class PublishedInput:
    """An input of the paper: tokens of question (special tokens included) and passage, and pairs for each question.

    :ivar tasks: the paper's tasks with this input
    :ivar paper: the paper's speed-up and percentage of memory saved, by model and task
    """

    name: str
    n_question: int
    n_passage: int
    n_options: int = 1
    tasks: tuple[str, ...] = ()
    paper: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)


MODELS = (
    PublishedModel(
        "BERT-base",
        {
            **_BERT,
            "model_type": "bert",
            "num_hidden_layers": 12,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
        },
        9,
    ),
    PublishedModel(
        "BERT-large",
        {
            **_BERT,
            "model_type": "bert",
            "num_hidden_layers": 24,
            "hidden_size": 1024,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
        21,
    ),
    PublishedModel(
        "XLNet-base",
        {"model_type": "xlnet", "n_layer": 12, "d_model": 768, "n_head": 12, "d_inner": 3072, "vocab_size": 32_000},
        8,
    ),
)
INPUTS = (
    PublishedInput(
        "320 tokens",
        20,
        300,
        tasks=("SQuAD", "BoolQ"),
        paper={
            "BERT-base": {"SQuAD": (3.2, 70.3), "BoolQ": (3.5, 72.0)},
            "XLNet-base": {"SQuAD": (2.7, 65.8), "BoolQ": (3.0, 68.3)},
        },
    ),
    PublishedInput(
        "4 x 512 tokens",
        32,
        480,
        4,
        tasks=("RACE",),
        paper={"BERT-base": {"RACE": (3.4, 72.9)}, "XLNet-base": {"RACE": (2.8, 67.6)}},
    ),
)


class PublishedShape:
    """Run one model on one input, whole and split, with random weights and random tokens.

    The runs are:

    - "whole": all layers over each pair, all rows
    - "a question for each pair": the work left if passages' states are stored, as the paper counts it
    - "one question for all": the same with one question for all passages; only for inputs without options
    - "int8 upper layers": a question for each pair, with the joint layers' matrices in int8 (dynamic quantisation);
      only on a CPU
    """

    def __init__(self, model: PublishedModel, given: PublishedInput, n_pairs: int, device: str, precision: str) -> None:
        family = family_named(model.config["model_type"])
        shape = family.shape(model.config)
        torch.manual_seed(0)
        with torch.device("meta"):
            backbone, joint = Backbone(shape), JointLayers(shape, shape.n_layers - model.k)
        self.backbone, self.joint = (_random(one, device) for one in (backbone, joint))
        self.k, self.device, self.precision = model.k, device, precision
        self.question = torch.randint(1000, 30_000, (n_pairs, given.n_question), device=device)
        self.passage = torch.randint(1000, 30_000, (n_pairs, given.n_passage), device=device)
        with torch.inference_mode(), self._cast():
            n_texts = max(1, n_pairs // given.n_options)  # options share their article's states
            embedded = self.backbone.embed(self.passage[:n_texts])
            stored = self.backbone.run(embedded, None, 0, self.k)
            self.stored = stored.repeat_interleave(-(-n_pairs // n_texts), 0)[:n_pairs]
        self.shares_questions = given.n_options == 1

    def runs(self) -> dict[str, Run]:
        """Return the runs by name."""
        runs: dict[str, Run] = {"whole": self.whole, "a question for each pair": lambda: self._split(self.question)}
        if self.shares_questions:
            runs["one question for all"] = lambda: self._split(self.question[:1])
        if self.device == "cpu":
            quantised = _quantised(self.joint)
            runs["int8 upper layers"] = lambda: self._split(self.question, quantised)
        return runs

    def whole(self) -> Tensor:
        """Compute start and end logits of every row."""
        with self._cast():
            both = torch.cat([self.question, self.passage], 1)
            states = self.backbone.run(self.backbone.embed(both), None, 0, self.backbone.shape.n_layers)
            logits: Tensor = self.joint.head(states)
        return logits

    def _split(self, question: Tensor, joint: JointLayers | None = None) -> Tensor:
        with self._cast():
            asked = self.backbone.run(self.backbone.embed(question), None, 0, self.k)
            if joint is None:
                spans: Tensor = self.joint(asked, self.stored).spans
                return spans
            context: Context = joint.context(asked, self.stored, None, None)
            rows = joint.passage_rows(asked.shape[1], self.stored.shape[1])
            return joint.logits(joint.layer_states(joint.mark(asked, self.stored), context)[-1][:, rows]).spans

    def _cast(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.precision == "bf16")


def costs(
    model: PublishedModel, given: PublishedInput, n_pairs: int, rounds: int, device: str, precision: str, threads: int
) -> dict[str, Any]:
    """Compare each run with the whole: speed-up, and operations and bytes as shares of the whole's.

    On a CPU in fp32, the engines of one passage a call are compared too, with one question for all passages.
    """
    at = PublishedShape(model, given, n_pairs, device, precision)
    runs, engines = at.runs(), dict[str, Run]()
    if (device, precision) == ("cpu", "fp32") and at.shares_questions:
        engines = engine_runs(at.backbone, at.joint, at.question[:1], at.passage, at.stored, threads)
    clock = time.process_time if (device, threads) == ("cpu", 1) else time.perf_counter
    took = seconds_in_turn(runs | engines, rounds, device, clock)
    counted = {name: run for name, run in runs.items() if name != "int8 upper layers"}
    # In bf16, autocast copies every weight at each run: those bytes are the engine's, not the model's.
    n_bytes = {name: bytes_requested(run) for name, run in counted.items()} if precision == "fp32" else {}
    n_operations = {name: operations(run) for name, run in counted.items()}
    rows = {
        name: {
            "speed_up": ratio(took["whole"], took[name]),
            **(
                {
                    "operations": n_operations[name] / n_operations["whole"],
                    **({"bytes_saved": 100 * (1 - n_bytes[name] / n_bytes["whole"])} if n_bytes else {}),
                }
                if name in counted
                else {}
            ),
        }
        for name in runs
        if name != "whole"
    }
    return rows | (engine_costs(took) if engines else {})


def published_costs(
    record: Record,
    models: Sequence[PublishedModel] = MODELS,
    *,
    n_pairs: int,
    rounds: int,
    device: str,
    precision: str,
    threads: int,
    on_event: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure every model on every input: a batch of pairs on all threads; on a CPU also one question on one thread."""
    settings = [(f"batch {n_pairs}, {threads} threads", n_pairs, threads)]
    if device == "cpu":
        settings.append(("batch 1, 1 thread", 1, 1))
    else:
        settings = [(f"batch {n_pairs}", n_pairs, threads), ("batch 1", 1, threads)]
    rows: dict[str, Any] = {}
    for model in models:
        for given in INPUTS:
            for setting, pairs, n_threads in settings:
                name = f"{model.name} k={model.k}, {given.name}, {setting}"

                def made(
                    model: PublishedModel = model,
                    given: PublishedInput = given,
                    pairs: int = pairs,
                    n_threads: int = n_threads,
                    name: str = name,
                ) -> dict[str, Any]:
                    on_event(f"measuring {name}")
                    with _threads(n_threads):
                        return costs(model, given, max(pairs, given.n_options), rounds, device, precision, n_threads)

                rows[name] = record.part(name, made) | {"paper": given.paper.get(model.name, {})}
    return rows


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _random(module: Any, device: str) -> Any:
    """Fill a module with small random numbers; their values do not affect its speed."""
    module = module.to_empty(device=device).eval().requires_grad_(False)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            nn.init.normal_(tensor, std=0.02)
    return module


def _quantised(joint: JointLayers) -> JointLayers:
    """Copy the layers with int8 weights in linear maps, whose inputs are rounded at each call.

    XLNet's ``qkv`` is left as it is, since its layers read the rows of that matrix separately.
    """
    kept = ".qkv" if joint.family.positions == "relative" else " "
    names = {name for name, one in joint.named_modules() if isinstance(one, nn.Linear) and not name.endswith(kept)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantize_dynamic has moved to a package that we do not depend on
        from torch.ao.quantization import quantize_dynamic

        made: JointLayers = quantize_dynamic(joint, names, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return made
