"""Run one training: recipe and data in, a reader out; a stopped run continues where it was."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from deformer_qa.lab.data.json_files import sha256_of
from deformer_qa.lab.train.choice_model import ChoiceReaderInTraining
from deformer_qa.lab.train.choices import ChoiceExample, ChoiceSet, collate_choices, make_choice_examples
from deformer_qa.lab.train.examples import Example, ExampleSet, collate, make_examples
from deformer_qa.lab.train.model import LayersInTraining, ReaderInTraining
from deformer_qa.lab.train.recipe import Recipe, recipe_from
from deformer_qa.lab.train.start import starting_joint, starting_lower, whole_joint
from deformer_qa.reader.checkpoint import WEIGHTS, save_reader
from deformer_qa.reader.description import DESCRIPTION, describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.models import write_tuned

_RUN = "run.json"
_SAVED_EVERY = 250
_LOGGED_EVERY = 25


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
    """Train a reader by a recipe and save it in ``out``.

    A stopped run continues from the last complete checkpoint in ``out/steps``; a finished run is left as it is.

    :param data: the folder with the files that the recipe's sources name.
    :param teacher: a whole reader (k = 0) to distil from; required if the recipe has weights for KD or LRS.
    :param start_from: a reader whose joint layers are the start; by default the teacher, else the backbone.
    :param device: "cpu" or "cuda"; by default the accelerator if there is one.
    :param on_log: called every 25 steps with step, loss and learning rate.
    :param on_event: called with a line about each phase.
    :return: the folder of the reader, ``out``.
    :raises BadTrainingData: before any step is taken, if the input cannot be used or ``out`` holds another run.
    """
    if (recipe.kd or recipe.lrs) and teacher is None:
        raise BadTrainingData(f"recipe {recipe.name}: kd and lrs need a teacher; pass one, or set both to 0.")
    aim = whole_joint(teacher) if teacher else None
    start_from = start_from or teacher
    place = _usable_device(device)
    encoder = Encoder.load(recipe.encoder, k=recipe.k)
    identity = _identity(recipe, data, encoder, teacher, start_from)
    if _is_finished(out, identity):
        on_event(f"{out}: this run has ended; its reader is left as it is")
        return out
    torch.manual_seed(recipe.seed)
    joint = starting_joint(encoder, recipe, start_from)
    aim = aim.to(place) if aim and (recipe.kd or recipe.lrs) else None
    encoder.to(place)
    examples: ExampleSet | ChoiceSet
    of: type[LayersInTraining]
    if recipe.is_of_choices:
        examples, of = make_choice_examples(recipe, data, encoder, on_event), ChoiceReaderInTraining
    else:
        examples, of = make_examples(recipe, data, encoder, on_event), ReaderInTraining
    model = of(encoder, joint, aim, recipe, starting_lower(encoder, recipe, start_from))
    _begin(out, identity)
    trainer = _trainer(recipe, model, examples.items, out, place, on_log)
    began = time.time()
    outcome = trainer.train(resume_from_checkpoint=_last_whole_checkpoint(out / "steps"))
    if recipe.average_last:
        _load_mean(model, _checkpoints(out / "steps")[-recipe.average_last :])
    record = {
        **_record(recipe, examples, trainer),
        "train_loss_since_last_start": round(float(outcome.training_loss), 4),
        "seconds_since_last_start": round(time.time() - began),
        "teacher": describe_reader(teacher).name if teacher and aim else None,
        "starts_from": describe_reader(start_from).name if start_from else None,
    }
    encoder.to("cpu")
    if recipe.tune_lower:
        layers = {name: one.detach().cpu().float().numpy() for name, one in model.lower.state_dict().items()}
        write_tuned(out / "encoder", recipe.encoder, layers, makes_vectors=bool(recipe.retrieval))
        encoder = Encoder.load(str(out / "encoder"), k=recipe.k)
    save_reader(out, joint.cpu(), encoder, training=record)
    return out


def _record(recipe: Recipe, examples: ExampleSet | ChoiceSet, trainer: Trainer) -> dict[str, Any]:
    on_cpu = trainer.args.device.type == "cpu"
    return {
        "recipe": asdict(recipe),
        "n_examples": len(examples.items),
        "n_questions_left_out": examples.n_left_out,
        "held_back_articles": list(examples.held_back),
        "steps": trainer.state.global_step,
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads"
        if on_cpu
        else torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }


def _usable_device(name: str | None) -> str:
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen not in ("cpu", "cuda") or (chosen == "cuda" and not torch.cuda.is_available()):
        raise BadTrainingData(
            f'device "{chosen}": cannot be used here for training; give cpu, or cuda where there is one.'
        )
    return chosen


# Check that ``out`` holds this run.


def _identity(
    recipe: Recipe, data: Path, encoder: Encoder, teacher: Path | None, start_from: Path | None
) -> dict[str, Any]:
    """Collect the inputs that a run depends on; runs with equal identity are the same run."""
    return {
        "recipe": _plain(recipe),
        "encoder": encoder.encoder_id,
        "data": {source.file: sha256_of(data / source.file) for source in recipe.sources},
        "teacher": sha256_of(teacher / WEIGHTS) if teacher else None,
        "start": sha256_of(start_from / WEIGHTS) if start_from else None,
    }


def _plain(recipe: Recipe) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return content


def _is_finished(out: Path, identity: dict[str, Any]) -> bool:
    """Whether this very run is finished in ``out``.

    :raises BadTrainingData: if another run was begun there.
    """
    file = out / _RUN
    if out.exists() and not out.is_dir():
        raise BadTrainingData(f"{out}: expected a folder, found a file; take another name.")
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            recipe = recipe_from(found["recipe"], str(file))
        except (KeyError, TypeError, ValueError):
            raise BadTrainingData(f"{file}: not the record of a run; remove it, or take another folder.") from None
        found["recipe"] = _plain(recipe)  # keys missing from an older record get their defaults
        other = [key for key in identity if found.get(key) != identity[key]]
        if other:
            raise BadTrainingData(
                f"{out}: another run was begun there, with another {' and '.join(other)}; take another folder."
            )
        return (out / DESCRIPTION).is_file()
    if (out / "steps").exists() or (out / DESCRIPTION).exists():
        raise BadTrainingData(f"{out}: a reader is there, and no {_RUN} that says how it is made; take another folder.")
    return False


def _begin(out: Path, identity: dict[str, Any]) -> None:
    """Record in ``out`` which run this is, once its whole input is accepted."""
    out.mkdir(parents=True, exist_ok=True)
    beside = out / f"{_RUN}.new"
    beside.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, out / _RUN)


def _checkpoints(steps: Path) -> list[Path]:
    """List complete checkpoints, oldest first; ``trainer_state.json`` is the file written last."""
    whole = [path for path in steps.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return sorted(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]))


def _last_whole_checkpoint(steps: Path) -> str | None:
    """Return the checkpoint to continue from; half-written ones are removed."""
    whole = _checkpoints(steps)
    for path in steps.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path)
    return str(whole[-1]) if whole else None


def _load_mean(model: LayersInTraining, checkpoints: Sequence[Path]) -> None:
    saved = [load_file(checkpoint / "model.safetensors") for checkpoint in checkpoints]
    model.load_state_dict({name: torch.stack([one[name] for one in saved]).mean(0) for name in saved[0]})


# The trainer


class _LengthGrouped(Sampler[int]):
    """Batch examples of similar length, to save padding; the order depends on the seed alone, for resuming."""

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed = lengths, batch, seed

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed)
        return iter(get_length_grouped_indices(self._lengths, self._batch, generator=generator))


class _GroupedTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that batches examples of similar length and has a learning rate for each layer."""

    layer_decay = 1.0

    def create_optimizer(self, *given: Any) -> torch.optim.Optimizer:
        is_new = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(*given)
        if is_new and self.layer_decay != 1.0:
            _decay_by_layer(optimizer, self.model, self.layer_decay)
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        lengths = [example.n_tokens for example in self.train_dataset]
        return _LengthGrouped(lengths, self.args.train_batch_size, self.args.seed)


def _decay_by_layer(optimizer: torch.optim.Optimizer, model: LayersInTraining, decay: float) -> None:
    """Give each layer its own parameter group; the heads and the last layer keep the recipe's learning rate."""
    layers = [*model.lower, *model.joint.layers]
    depth = {id(one): len(layers) - 1 - index for index, layer in enumerate(layers) for one in layer.parameters()}
    depth[id(model.joint.marker)] = len(model.joint.layers)
    groups = list(optimizer.param_groups)
    optimizer.param_groups.clear()
    for group in groups:
        for below in sorted({depth.get(id(one), 0) for one in group["params"]}):
            members = [one for one in group["params"] if depth.get(id(one), 0) == below]
            optimizer.add_param_group({**group, "params": members, "lr": group["lr"] * decay**below})


class _Progress(TrainerCallback):  # type: ignore[misc]
    """Write one JSON line per log to a file and call the listener, so that long training can be watched."""

    def __init__(self, path: Path, on_log: Callable[[dict[str, Any]], None]) -> None:
        self.path, self.listener = path, on_log

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            line = {"step": state.global_step, "of": state.max_steps, "time": round(time.time()), **(logs or {})}
            stream.write(json.dumps(line) + "\n")
        self.listener(line)


def _trainer(
    recipe: Recipe,
    model: LayersInTraining,
    items: Sequence[Example | ChoiceExample],
    out: Path,
    device: str,
    on_log: Callable[[dict[str, Any]], None],
) -> Trainer:
    n_steps = -(-len(items) // recipe.batch)
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
        use_cpu=device == "cpu",
        logging_steps=_LOGGED_EVERY,
        save_steps=_SAVED_EVERY,
        save_total_limit=max(2, recipe.average_last),
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        dataloader_num_workers=0,
    )
    trainer = _GroupedTrainer(
        model=model,
        args=arguments,
        train_dataset=items,
        data_collator=collate_choices if recipe.is_of_choices else collate,
        callbacks=[_Progress(out / "progress.jsonl", on_log)],
    )
    trainer.args._n_gpu = min(1, trainer.args.n_gpu)  # the frozen networks are on one device
    trainer.layer_decay = recipe.layer_decay
    trainer.remove_callback(PrinterCallback)  # it prints on stdout, which is for data only
    return trainer
