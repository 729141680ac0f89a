"""Asynchronous versions of the document store's methods: each runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy


class AsyncCalls:
    """Each ``name_async`` does what ``name`` does, with the same arguments, results and errors."""

    close: Callable[..., Any]
    count_documents: Callable[..., Any]
    filter_documents: Callable[..., Any]
    write_documents: Callable[..., Any]
    delete_documents: Callable[..., Any]
    delete_all_documents: Callable[..., Any]
    delete_by_filter: Callable[..., Any]
    update_by_filter: Callable[..., Any]
    count_documents_by_filter: Callable[..., Any]
    count_unique_metadata_by_filter: Callable[..., Any]
    get_metadata_fields_info: Callable[..., Any]
    get_metadata_field_min_max: Callable[..., Any]
    get_metadata_field_unique_values: Callable[..., Any]

    async def close_async(self) -> None:
        """See ``close``."""
        await asyncio.to_thread(self.close)

    async def count_documents_async(self) -> int:
        """See ``count_documents``."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """See ``filter_documents``."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """See ``write_documents``."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """See ``delete_documents``."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """See ``delete_all_documents``."""
        await asyncio.to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """See ``delete_by_filter``."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """See ``update_by_filter``."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """See ``count_documents_by_filter``."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """See ``count_unique_metadata_by_filter``."""
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """See ``get_metadata_fields_info``."""
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """See ``get_metadata_field_min_max``."""
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """See ``get_metadata_field_unique_values``."""
        return await asyncio.to_thread(
            self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters
        )
