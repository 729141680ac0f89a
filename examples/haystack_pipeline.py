"""A Haystack pipeline over a store: written down as YAML, loaded again, asked synchronously and asynchronously.

    python examples/haystack_pipeline.py STORE "question"

STORE is a directory that ``qa index --store STORE folder/`` has written.
"""

import asyncio
import sys

from haystack import Pipeline

from deformer_qa.pipeline.haystack.pipelines import question_answering


def main(store: str, question: str) -> None:
    """Ask the pipeline and a copy of it that went through YAML."""
    pipeline = question_answering(store)
    asked = {"retriever": {"query": question}, "reader": {"query": question}}
    show(pipeline.run(asked))

    loaded = Pipeline.loads(pipeline.dumps())
    show(asyncio.run(loaded.run_async(asked)))


def show(result: dict) -> None:
    """One line for each answer."""
    for answer in result["reader"]["answers"]:
        if answer.data is None:
            print(f"{answer.score:4.0%}  none of these")
        else:
            meta = answer.document.meta
            print(f"{answer.score:4.0%}  {answer.data}  ({meta.get('path', answer.document.id)}: {answer.context})")


if __name__ == "__main__":
    main(*sys.argv[1:])
