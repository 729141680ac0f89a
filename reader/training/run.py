"""One training run: recipe and data in, a reader checkpoint out; stopped at any moment, it goes on where it was."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from deformer_qa.reader.checkpoint import load_joint, save_reader
from deformer_qa.reader.description import describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.training.examples import Examples, collate
from deformer_qa.reader.training.model import ReaderInTraining
from deformer_qa.reader.training.recipe import Recipe
from deformer_qa.reader.training.tuned_encoder import save_tuned_encoder


class _LengthGrouped(Sampler[int]):
    """Batches of like lengths, so that little is padding; the order hangs on seed and epoch alone, for resuming."""

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed, self._epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch, generator=generator))


class _GroupedTrainer(Trainer):  # type: ignore[misc]
    """The Trainer, with examples of like lengths together and a learning rate for each layer."""

    layer_decay = 1.0

    def create_optimizer(self, *given: Any) -> torch.optim.Optimizer:
        is_new = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(*given)
        if is_new and self.layer_decay != 1.0:
            _decay_by_layer(optimizer, self.model, self.layer_decay)
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        examples = train_dataset if train_dataset is not None else self.train_dataset
        return _LengthGrouped(examples.lengths, self.args.train_batch_size, self.args.seed)


class _Progress(TrainerCallback):  # type: ignore[misc]
    """One JSON line per log, on a file, and a call to whoever listens; training for hours must be watchable."""

    def __init__(self, path: Path, on_log: Callable[[dict[str, Any]], None]) -> None:
        self.path, self.listener = path, on_log

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            line = {"step": state.global_step, "of": state.max_steps, "time": round(time.time()), **(logs or {})}
            stream.write(json.dumps(line) + "\n")
        self.listener(line)


def train_reader(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    teacher: Path | None = None,
    start_from: Path | None = None,
    device: str | None = None,
    on_log: Callable[[dict[str, Any]], None] = lambda line: None,
    on_event: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train the joint layers and save a reader in ``out``; resumes from ``out/steps`` if there is a checkpoint.

    :param data: the folder with the files that the recipe's sources name.
    :param teacher: a whole reader (k = 0) to distil from; needed where the recipe weighs KD or LRS.
    :param start_from: a reader whose joint layers are the start; the teacher's by default, else the backbone's own.
    :param on_log: called every 25 steps with step, loss, learning rate.
    :param on_event: called with a line on what is being prepared.
    :return: the folder of the reader, ``out``.
    :raises BadTrainingData: before any compute is spent.
    """
    if (recipe.kd or recipe.lrs) and teacher is None:
        raise BadTrainingData(f"recipe {recipe.name}: kd and lrs need a teacher; pass one, or set both to 0.")
    start_from = start_from or teacher
    encoder = Encoder.load(recipe.encoder, k=recipe.k)
    if teacher and describe_reader(teacher).k:
        raise BadTrainingData(f"{teacher}: expected a whole reader (k=0), found k={describe_reader(teacher).k}.")
    aim = load_joint(teacher, Encoder.load(recipe.encoder, k=0)) if teacher else None
    torch.manual_seed(recipe.seed)
    joint = _starting_joint(encoder, recipe, start_from)
    examples = Examples(recipe, data, encoder, on_event)
    model = ReaderInTraining(encoder, joint, aim, recipe)
    trainer = _trainer(recipe, model, examples, out, device, on_log)
    began = time.time()
    resume = any((out / "steps").glob("checkpoint-*"))
    outcome = trainer.train(resume_from_checkpoint=resume)
    if recipe.average_last:
        _load_mean(model, sorted((out / "steps").glob("checkpoint-*"), key=_step_of)[-recipe.average_last :])
    record = {
        "recipe": asdict(recipe),
        "n_examples": len(examples),
        "n_questions_left_out": examples.n_skipped,
        "held_back_articles": sorted(examples.reserve),
        "steps": trainer.state.global_step,
        "train_loss": round(float(outcome.training_loss), 4),
        "seconds_since_last_start": round(time.time() - began),
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads"
        if trainer.args.device.type == "cpu"
        else torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "teacher": describe_reader(teacher).name if teacher else None,
        "starts_from": describe_reader(start_from).name if start_from else None,
    }
    if recipe.tune_lower:
        encoder = save_tuned_encoder(out / "encoder", recipe.encoder, model.lower, recipe.k)
    save_reader(out, joint.cpu(), encoder, training=record)
    return out


def _decay_by_layer(optimizer: torch.optim.Optimizer, model: ReaderInTraining, decay: float) -> None:
    """Give each layer its own parameter group; the heads, and the last layer, keep the recipe's learning rate."""
    layers = [*model.lower, *model.joint.layers]
    depth = {id(one): len(layers) - 1 - index for index, layer in enumerate(layers) for one in layer.parameters()}
    depth[id(model.joint.marker)] = len(model.joint.layers)
    groups = list(optimizer.param_groups)
    optimizer.param_groups.clear()
    for group in groups:
        for below in sorted({depth.get(id(one), 0) for one in group["params"]}):
            members = [one for one in group["params"] if depth.get(id(one), 0) == below]
            optimizer.add_param_group({**group, "params": members, "lr": group["lr"] * decay**below})


def _load_mean(model: ReaderInTraining, checkpoints: Sequence[Path]) -> None:
    saved = [load_file(checkpoint / "model.safetensors") for checkpoint in checkpoints]
    model.load_state_dict({name: torch.stack([one[name] for one in saved]).mean(0) for name in saved[0]})


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def _starting_joint(encoder: Encoder, recipe: Recipe, start_from: Path | None) -> JointLayers:
    """Joint layers that begin as the last ones of a reader, or of the backbone."""
    shape = encoder.backbone.shape
    width = recipe.feed_forward_width or shape.feed_forward_width
    joint = JointLayers(replace(shape, feed_forward_width=width), recipe.joint_layers or shape.n_layers - encoder.k)
    given = None
    if start_from is not None:
        about = describe_reader(start_from)
        given = load_joint(start_from, Encoder.load(about.encoder, k=about.k))
    layers = given.layers if given else encoder.backbone.layers
    if len(joint.layers) > len(layers):
        raise BadTrainingData(f"{len(joint.layers)} joint layers cannot begin as {len(layers)}; ask for fewer.")
    for ours, theirs in zip(joint.layers, layers[len(layers) - len(joint.layers) :], strict=True):
        ours.load_state_dict(_narrowed(theirs.state_dict(), width))
    if given:
        joint.head.load_state_dict(given.head.state_dict())
        joint.yes_no.load_state_dict(given.yes_no.state_dict())
        joint.marker.data.copy_(given.marker)
    return joint


def _narrowed(layer: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """A layer's tensors with the ``width`` feed-forward units whose weights in and out have the largest norms."""
    if width > len(layer["feed_in.bias"]):
        raise BadTrainingData(f"feed_forward_width is {width}, and the layers to start from have fewer units.")
    sizes = layer["feed_in.weight"].norm(dim=1) * layer["feed_out.weight"].norm(dim=0)
    kept = sizes.topk(width).indices.sort().values
    return {
        **layer,
        "feed_in.weight": layer["feed_in.weight"][kept],
        "feed_in.bias": layer["feed_in.bias"][kept],
        "feed_out.weight": layer["feed_out.weight"][:, kept],
    }


def _trainer(
    recipe: Recipe,
    model: ReaderInTraining,
    examples: Examples,
    out: Path,
    device: str | None,
    on_log: Callable[[dict[str, Any]], None],
) -> Trainer:
    out.mkdir(parents=True, exist_ok=True)
    n_steps = -(-len(examples) // recipe.batch)
    arguments = TrainingArguments(
        output_dir=str(out / "steps"),
        per_device_train_batch_size=recipe.batch,
        max_steps=n_steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=round(recipe.warmup * n_steps),
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=recipe.precision == "bf16",
        seed=recipe.seed,
        use_cpu=device == "cpu" or not torch.cuda.is_available(),
        logging_steps=25,
        save_steps=250,
        save_total_limit=max(2, recipe.average_last),
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        dataloader_num_workers=0,
    )
    trainer = _GroupedTrainer(
        model=model,
        args=arguments,
        train_dataset=examples,
        data_collator=collate,
        callbacks=[_Progress(out / "progress.jsonl", on_log)],
    )
    trainer.layer_decay = recipe.layer_decay
    trainer.remove_callback(PrinterCallback)  # it prints on stdout, which is for data
    return trainer
