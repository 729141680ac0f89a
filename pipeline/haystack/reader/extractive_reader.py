"""Extract answers in Haystack: a split reader over stored states, or a fine-tuned checkpoint as it is."""

from __future__ import annotations

import asyncio
import copy
import threading
from enum import Enum
from pathlib import Path
from typing import Any

from haystack import Document, ExtractedAnswer, component, default_from_dict, default_to_dict, logging
from haystack.document_stores.errors import DocumentStoreError
from haystack.tracing.tracer import tracer
from haystack.utils import ComponentDevice, Secret
from haystack.utils.device import Device, DeviceMap
from haystack.utils.hf import deserialize_hf_model_kwargs, serialize_hf_model_kwargs

from deformer_qa.pipeline.haystack.answers import with_text
from deformer_qa.pipeline.haystack.checkpoint_reader import CheckpointReading
from deformer_qa.pipeline.haystack.split_reader import SplitReading
from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.reader.description import DESCRIPTION
from deformer_qa.store import Snapshot
from haystack_integrations.document_stores.deformer import DeformerDocumentStore

logger = logging.getLogger(__name__)

HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)


class Given(Enum):
    """Default of a parameter of ``run`` whose None has a meaning of its own: use the value given when building.

    It is an enumeration because pipelines deep-copy their inputs, and a member stays identical.
    """

    AS_BUILT = "as built"


AS_BUILT: Any = Given.AS_BUILT


def __getattr__(name: str) -> Any:
    """Import the transformers classes that load a checkpoint only on use: a split reader never needs them."""
    if name in ("AutoModelForQuestionAnswering", "AutoTokenizer"):
        import transformers

        return getattr(transformers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@component
class DeformerReader(CheckpointReading):
    """Extract answers to a query from documents; a replacement for ``TransformersExtractiveReader``.

    With a split reader (the default), passages of documents from our store are read from their stored states; passages
    of other documents are encoded first. The score of an answer is the probability that it is right, among all answers
    and "no answer". With a fine-tuned checkpoint everything is as in ``TransformersExtractiveReader``, including the
    scores.

    Besides its offsets in the document, every answer has the sentence around it and its offsets there.

    :param model: a reader's folder made by ``qa train``, None for the one that ships; or a checkpoint for question
        answering, by folder or hub id.
    :param device: where the model runs; by default where Haystack's other components run.
    :param token: access token for private models of a hub.
    :param top_k: the most answers to return, not counting "no answer"; 0 for none, None for all.
    :param score_threshold: answers with a lower score are left out.
    :param max_seq_length, stride, max_batch_size, calibration_factor: for checkpoints only; a split reader's passages
        are those of its index.
    :param answers_per_seq: how many spans of one passage compete; default 3 with a split reader, 20 with a checkpoint.
    :param no_answer: whether to add an answer without text, whose score is the probability that no other is right.
    :param overlap_threshold: of spans that share more than this fraction of the shorter one, only the best remains;
        None keeps all. A split reader also merges answers that say the same, with the others in ``meta["evidence"]``.
    :param model_kwargs: arguments for loading a checkpoint.
    :param document_store: where to find stored states of documents that do not name their store.
    :param kept_passages: for how many passages, encoded on the spot, states are kept in memory.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        device: ComponentDevice | None = None,
        token: Secret | None = HUB_TOKEN,
        top_k: int | None = 20,
        score_threshold: float | None = None,
        max_seq_length: int = 384,
        stride: int = 128,
        max_batch_size: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool = True,
        calibration_factor: float = 0.1,
        overlap_threshold: float | None = 0.01,
        model_kwargs: dict[str, Any] | None = None,
        document_store: DeformerDocumentStore | None = None,
        kept_passages: int = 0,
    ) -> None:
        self.model_name_or_path = str(model) if model is not None else None
        self.model: Any = None
        self.tokenizer: Any = None
        self.device: ComponentDevice | None = None
        self.token, self.model_kwargs = token, _with_device_map(device, model_kwargs)
        self.top_k, self.score_threshold, self.no_answer = top_k, score_threshold, no_answer
        self.max_seq_length, self.stride, self.max_batch_size = max_seq_length, stride, max_batch_size
        self.answers_per_seq, self.calibration_factor = answers_per_seq, calibration_factor
        self.overlap_threshold = overlap_threshold
        self.document_store, self.kept_passages = document_store, kept_passages
        self._split: SplitReading | None = None
        self._stores: dict[str, DeformerDocumentStore] = {}
        self._loading = threading.Lock()

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component, as Haystack's pipelines do."""
        data = default_to_dict(
            self,
            model=self.model_name_or_path,
            device=None,
            token=self.token,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            max_seq_length=self.max_seq_length,
            stride=self.stride,
            max_batch_size=self.max_batch_size,
            answers_per_seq=self.answers_per_seq,
            no_answer=self.no_answer,
            calibration_factor=self.calibration_factor,
            overlap_threshold=self.overlap_threshold,
            model_kwargs=copy.deepcopy(self.model_kwargs),
            document_store=self.document_store,
            kept_passages=self.kept_passages,
        )
        serialize_hf_model_kwargs(data["init_parameters"]["model_kwargs"])
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DeformerReader:
        """Build the component from the output of ``to_dict``."""
        data = {**data, "init_parameters": dict(data.get("init_parameters", {}))}
        if data["init_parameters"].get("model_kwargs") is not None:
            data["init_parameters"]["model_kwargs"] = copy.deepcopy(data["init_parameters"]["model_kwargs"])
            deserialize_hf_model_kwargs(data["init_parameters"]["model_kwargs"])
        reader: DeformerReader = default_from_dict(cls, data)
        return reader

    def warm_up(self) -> None:
        """Load the network now, not at the first query.

        :raises ModelNotFound, WrongEncoder: if a split reader cannot be used.
        """
        with self._loading:
            if self.model is not None or self._split is not None:
                return
            name = self.model_name_or_path
            if name is None or (Path(name) / DESCRIPTION).is_file():
                device = ComponentDevice.from_single(_first_device(self.model_kwargs["device_map"]))
                reader = shared_reader(name, device.to_torch_str())
                self._split, self.device = SplitReading(reader, self._snapshot, self.kept_passages), device
                return
            from transformers import AutoModelForQuestionAnswering, AutoTokenizer

            token = self.token.resolve_value() if self.token else None
            model = AutoModelForQuestionAnswering.from_pretrained(name, token=token, **self.model_kwargs)
            tokenizer = AutoTokenizer.from_pretrained(name, token=token)
            spread = getattr(model, "hf_device_map", None)
            self.device = (
                ComponentDevice.from_multiple(DeviceMap.from_hf(spread))
                if spread
                else ComponentDevice.from_single(Device.from_str(str(model.device)))
            )
            self.model, self.tokenizer = model, tokenizer

    def close(self) -> None:
        """Release the network and open stores; the next call loads them again."""
        with self._loading:
            self.model = self.tokenizer = self._split = None
            self._stores.clear()
            if self.document_store is not None:
                self.document_store.close()

    @component.output_types(answers=list[ExtractedAnswer])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        max_seq_length: int | None = None,
        stride: int | None = None,
        max_batch_size: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool | None = None,
        overlap_threshold: float | None = AS_BUILT,
    ) -> dict[str, Any]:
        """Return answers to the query from the documents, best first.

        Parameters not given have the values given when building. 0 is a value, and ``overlap_threshold=None`` keeps all
        answers.

        :param documents: those without text are skipped with a warning.
        :raises ValueError: if ``top_k`` is negative, or the query is blank (split reader).
        :raises TextTooLong: if the query does not fit the encoder (split reader).
        """
        self.warm_up()
        split = self._split
        if not documents:
            return {"answers": []}
        top_k = _given(top_k, self.top_k)
        if top_k is not None and top_k < 0:
            raise ValueError(f"top_k: expected 0 or more, found {top_k}.")
        score_threshold = _given(score_threshold, self.score_threshold)
        answers_per_seq = _given(answers_per_seq, self.answers_per_seq)
        no_answer = _given(no_answer, self.no_answer)
        overlap_threshold = self.overlap_threshold if overlap_threshold is AS_BUILT else overlap_threshold
        readable = with_text(documents)
        with tracer.trace("deformer.read", tags={"documents": len(readable), "top_k": top_k}) as span:
            if not readable:
                return {"answers": self._finished(query, [], 1.0 if no_answer else None, score_threshold)}
            if split is None:
                answers = self._read_whole(
                    query,
                    readable,
                    top_k=top_k,
                    score_threshold=score_threshold,
                    max_seq_length=_given(max_seq_length, self.max_seq_length),
                    stride=_given(stride, self.stride),
                    max_batch_size=_given(max_batch_size, self.max_batch_size),
                    answers_per_seq=answers_per_seq,
                    no_answer=no_answer,
                    overlap_threshold=overlap_threshold,
                )
            else:
                found, none = split.read(
                    query, readable, top_k=top_k, answers_per_seq=answers_per_seq, overlap_threshold=overlap_threshold
                )
                found = [self._add_context(self._add_answer_page_number(answer)) for answer in found]
                answers = self._finished(query, found, none if no_answer else None, score_threshold)
            span.set_tag("answers", len(answers))
        return {"answers": answers}

    @component.output_types(answers=list[ExtractedAnswer])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        max_seq_length: int | None = None,
        stride: int | None = None,
        max_batch_size: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool | None = None,
        overlap_threshold: float | None = AS_BUILT,
    ) -> dict[str, Any]:
        """Call ``run`` in a thread."""
        return await asyncio.to_thread(
            self.run,
            query,
            documents,
            top_k,
            score_threshold,
            max_seq_length,
            stride,
            max_batch_size,
            answers_per_seq,
            no_answer,
            overlap_threshold,
        )

    def _snapshot(self, store: str | None) -> Snapshot | None:
        """Open the newest generation of the store that a document names, else of the component's own store."""
        own: DeformerDocumentStore | None = self.document_store
        if store is not None and (own is None or store != str(own.place)):
            try:
                named: Snapshot | None = self._stores.setdefault(store, DeformerDocumentStore(store)).snapshot()
                if named is not None:
                    return named
            except DocumentStoreError as error:
                logger.warning("The store that a document names cannot be used: {error}", error=str(error))
        found: Snapshot | None = own.snapshot() if own is not None else None
        return found


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _with_device_map(device: ComponentDevice | None, model_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Add a device map to the loading arguments: as given, else from the device, else Haystack's default."""
    given = copy.deepcopy(model_kwargs or {})
    if given.get("device_map"):
        if device is not None:
            logger.warning(
                "The parameters `device` and `device_map` from `model_kwargs` are both provided. Ignoring `device` "
                "and using `device_map`."
            )
        return given
    return {**given, "device_map": ComponentDevice.resolve_device(device).to_hf()}


def _first_device(device_map: Any) -> Device:
    """Return the one device of a split reader: the first of a map; for "auto" Haystack's default."""
    if isinstance(device_map, dict):
        first = DeviceMap.from_hf(device_map).first_device
        if first is not None:
            return first
    if isinstance(device_map, int):
        return Device.gpu(device_map)
    if isinstance(device_map, str) and device_map != "auto":
        return Device.from_str(device_map)
    return Device.from_str(ComponentDevice.resolve_device(None).to_torch_str())
