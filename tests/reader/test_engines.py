"""Engines: all of them compute what torch computes, and the choice among them says why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from parts.tiny_families import FAMILIES, write_family

from deformer_qa.reader.checkpoint import joint_weights, save_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.choice import Choice, Circumstances, encoder_choice, joint_choice
from deformer_qa.reader.engines.engine import LAYERS_OF_BERT, WITH_GRAPHS, EncoderEngine
from deformer_qa.reader.engines.int8_graph import int8_graph, observed_ranges
from deformer_qa.reader.engines.joint import GRAPH, fingerprint, graph_of, joint_choice_of, load_joint_engine
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.engines.numpy_engine import NumpyEncoder
from deformer_qa.reader.engines.onnx_engine import OnnxEncoder
from deformer_qa.reader.engines.torch_engine import TorchEncoder
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.shipped import SHIPPED
from deformer_qa.reader.spans import best_spans

GRAPHS = [name for name in FAMILIES if name in WITH_GRAPHS]
TEXTS = ["the river", "The city of Ulm was founded in 854; the river Danube runs there."]
TEXTS.append(f"{TEXTS[1]} {TEXTS[1]}")  # longer than the distances that XLNet's engine begins with
QUESTION = "when was the city?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny fine-tuned checkpoint of every family."""
    return {name: write_family(tmp_path_factory.mktemp(name), name) for name in FAMILIES}


def _reader(folder: Path, name: str, into: Path, *, passage_first: bool = False, n_layers: int = 2) -> SplitReader:
    """A reader with random joint layers, read back from its folder."""
    encoder = Encoder.load(str(folder), k=2)
    torch.manual_seed(5)
    joint = JointLayers(encoder.backbone.shape, n_layers, passage_first=passage_first)
    torch.nn.init.normal_(joint.marker)
    torch.nn.init.normal_(joint.yes_no.weight)
    save_reader(into, joint, encoder, training={})
    return SplitReader.load(into)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("gelu", ["gelu", "gelu_new"])
@pytest.mark.parametrize("k", [0, 2, 4])
def test_encoders_of_all_engines_are_equal(
    name: str, gelu: str, k: int, folders: dict[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folders[name], tmp_path / "model"))
    config = json.loads((copy / "config.json").read_text())
    config[{"distilbert": "activation", "xlnet": "ff_activation"}.get(name, "hidden_act")] = gelu
    (copy / "config.json").write_text(json.dumps(config))
    encoder = Encoder.load(str(copy), k=k)
    for text in TEXTS:
        ids = encoder.tokenizer.tokenize(text).ids
        expected = TorchEncoder(encoder.backbone, None, k).encode(ids)
        engines: list[EncoderEngine] = [OnnxEncoder(encoder.weights)]
        if name in LAYERS_OF_BERT:
            engines.append(NumpyEncoder(encoder.weights))
        for engine in engines:
            for found, right in zip(engine.encode(ids), expected, strict=True):
                np.testing.assert_allclose(found, right, atol=2e-5, rtol=0)
            np.testing.assert_allclose(engine.states(ids), expected[0], atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("passage_first", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_joint_layers_of_all_engines_are_equal(
    name: str, passage_first: bool, n_layers: int, folders: dict[str, Path], tmp_path: Path
) -> None:
    reader = _reader(folders[name], name, tmp_path, passage_first=passage_first, n_layers=n_layers)
    question, passages = reader.encoder.states(QUESTION), [reader.encoder.states(text) for text in TEXTS]
    expected = reader.use("torch").read(question, passages)
    for engine in ("numpy", "onnx") if name in LAYERS_OF_BERT else ("onnx",):
        for n_threads in (1, 3):
            found = reader.use(engine, n_threads=n_threads).read(question, passages)
            for ours, right in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours.spans, right.spans, atol=2e-5, rtol=0)
                np.testing.assert_allclose(ours.yes_no, right.yes_no, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(GRAPHS)))
def test_layers_without_a_graph_run_in_torch_and_say_so(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    reader = _reader(folders[name], name, tmp_path)
    assert reader.choice == Choice("torch", f"layers of {name} have no graph")
    assert reader.encoder.choice.engine == "torch"
    question = reader.encoder.encode_question(QUESTION).states
    assert len(reader.read(question, [reader.encoder.states(TEXTS[0])])) == 1
    with pytest.raises(UnsupportedModel, match="do not run in onnx; use torch"):
        reader.use("onnx").read(question, [reader.encoder.states(TEXTS[0])])


@pytest.mark.parametrize("name", ["bert", "xlnet"])
@pytest.mark.parametrize("passage_first", [False, True])
def test_an_int8_graph_answers_as_fp32_does_where_it_was_calibrated(
    name: str, passage_first: bool, folders: dict[str, Path], tmp_path: Path
) -> None:
    reader = _reader(folders[name], name, tmp_path, passage_first=passage_first)
    weights = joint_weights(tmp_path, reader.encoder)
    question, passages = reader.encoder.states(QUESTION), [reader.encoder.states(text) for text in TEXTS]
    ranges = observed_ranges(weights, [(question, passages)])
    (tmp_path / GRAPH).write_bytes(int8_graph(weights, ranges, fingerprint(weights)))
    expected = reader.use("torch").read(question, passages)
    for found, right in zip(reader.use("onnx-int8").read(question, passages), expected, strict=True):
        spread = right.spans.max() - right.spans.min()
        assert np.abs(found.spans - right.spans).mean() < 0.05 * spread
        assert np.abs(found.spans - right.spans).max() > 0  # it is another arithmetic


def test_a_graph_of_other_weights_is_not_used(folders: dict[str, Path], tmp_path: Path) -> None:
    reader = _reader(folders["bert"], "bert", tmp_path)
    shutil.copy(SHIPPED / GRAPH, tmp_path / GRAPH)
    assert reader.weights is not None
    assert graph_of(reader.weights, tmp_path) is None
    assert reader.choice.engine == "onnx"
    assert "no int8 graph of its weights" in reader.choice.reason
    with pytest.raises(UnsupportedModel, match="make it with qa train engine"):
        load_joint_engine("onnx-int8", reader.weights, tmp_path)


def test_the_shipped_graph_belongs_to_the_shipped_weights_and_finds_the_same_spans(shipped_reader: SplitReader) -> None:
    reader = shipped_reader
    assert reader.weights is not None
    assert graph_of(reader.weights, SHIPPED) is not None
    pairs = [
        (
            "Who coined the term?",
            "The term deformer was coined by Cao and others in 2020.",
        ),
        ("How long does it take?", "Charging takes 40 minutes. The cable is 2 m long and weighs 300 g."),
        ("Where is it made?", "Founded in 1912, the company moved to Graz in 1950, where all of its clocks are made."),
        ("What is the price of Marvex?", "Product: Marvex, Price: 12.50.\nProduct: Tolan, Price: 8.20."),
    ]
    for question, text in pairs:
        asked, passage = reader.encoder.states(question), reader.encoder.states(text)
        (exact,) = load_joint_engine("onnx", reader.weights).read(asked, [passage])
        (found,) = load_joint_engine("onnx-int8", reader.weights, SHIPPED).read(asked, [passage])
        ours, right = best_spans(found.spans)[0], best_spans(exact.spans)[0]
        assert (ours.first, ours.last) == (right.first, right.last)
        assert abs(ours.margin - right.margin) < 2


def _never() -> dict[EngineName, float]:
    raise AssertionError("measured although nothing depends on it")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Circumstances("bert", device="cuda", has_graph=True), "torch"),
        (Circumstances("modernbert", has_graph=True), "torch"),
        (Circumstances("xlnet"), "onnx"),
        (Circumstances("xlnet", has_onnxruntime=False), "torch"),
        (Circumstances("bert", has_onnxruntime=False, has_graph=True), "numpy"),
        (Circumstances("bert"), "onnx"),
    ],
)
def test_circumstances_choose_the_engine(where: Circumstances, expected: str) -> None:
    chosen = joint_choice(where, _never)
    assert chosen.engine == expected
    assert chosen.reason
    assert encoder_choice(where).engine == expected


@pytest.mark.parametrize("slow", ["onnx", "onnx-int8"])
def test_the_faster_graph_is_chosen_by_its_time(slow: EngineName) -> None:
    fast: EngineName = "onnx" if slow == "onnx-int8" else "onnx-int8"
    chosen = joint_choice(Circumstances("bert", has_graph=True), lambda: {slow: 9.0, fast: 3.0})
    assert chosen.engine == fast
    assert f"{fast} 3.0 ms, {slow} 9.0 ms" in chosen.reason


def test_a_choice_is_made_once_and_kept(
    shipped_reader: SplitReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deformer_qa.reader.engines import joint

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    n_timed = []
    monkeypatch.setattr(joint, "timed", lambda *_: n_timed.append(1) or {"onnx": 1.0, "onnx-int8": 2.0})
    reader = SplitReader(shipped_reader.encoder, shipped_reader.weights, shipped_reader.about)
    first = reader.choice
    assert (first.engine, reader.choice, len(n_timed)) == ("onnx", first, 1)
    (tmp_path / "qa" / "engines.json").write_text("{")  # a damaged file is like none
    assert reader.choice == first
    assert len(n_timed) == 2


def test_another_device_neither_uses_nor_changes_what_is_kept(
    shipped_reader: SplitReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert shipped_reader.weights is not None
    choices = [joint_choice_of(shipped_reader.weights, SHIPPED, device) for device in ("cuda", "cpu", "cuda")]
    assert [one.engine == "torch" for one in choices] == [True, False, True]


def test_without_a_place_for_the_cache_all_works(shipped_reader: SplitReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    reader = SplitReader.load()
    assert reader.choice.engine in ("onnx", "onnx-int8")


def test_the_first_questions_load_no_slow_engine(shipped_reader: SplitReader) -> None:
    """The same vector and states, whichever engine is at hand."""
    encoder = Encoder.load(k=2)
    quick = [encoder.encode_question(QUESTION) for _ in range(9)]
    for one in quick:
        np.testing.assert_allclose(one.states, encoder.encode(QUESTION).states, atol=2e-5, rtol=0)
        np.testing.assert_allclose(one.vector, encoder.encode(QUESTION).vector, atol=2e-6, rtol=0)


def test_asking_in_each_engine_needs_no_torch_but_for_its_own() -> None:
    code = (
        "import sys\n"
        "from deformer_qa.reader.reading import SplitReader\n"
        "reader = SplitReader.load().use(sys.argv[1])\n"
        "asked = reader.encoder.encode_question('Who was it?').states\n"
        "reader.read(asked, [reader.encoder.states('It was Ada.')])\n"
        "print(*(name for name in ('torch', 'transformers', 'onnxruntime') if name in sys.modules))\n"
    )
    found = {
        engine: subprocess.run([sys.executable, "-c", code, engine], capture_output=True, text=True, check=True).stdout
        for engine in ("onnx-int8", "numpy", "torch")
    }
    assert found["onnx-int8"].split() == ["onnxruntime"]
    assert "torch" in found["torch"].split()
    assert "torch" not in found["numpy"].split()


def test_an_xlnet_reader_needs_no_torch(folders: dict[str, Path], tmp_path: Path) -> None:
    _reader(folders["xlnet"], "xlnet", tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from deformer_qa.reader.reading import SplitReader\n"
        "reader = SplitReader.load(Path(sys.argv[1]))\n"
        "asked = reader.encoder.encode_question('who was it?').states\n"
        "reader.read(asked, [reader.encoder.states('it was the city')])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 0


def test_other_weights_have_another_fingerprint(shipped_reader: SplitReader) -> None:
    assert shipped_reader.weights is not None
    changed = dict(shipped_reader.weights.weights)
    changed["head.weight"] = changed["head.weight"] + 1
    assert fingerprint(replace(shipped_reader.weights, weights=changed)) != fingerprint(shipped_reader.weights)
