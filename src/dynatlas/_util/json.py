"""The type of JSON objects: what files, tables and the page's scripts exchange."""

from typing import Any

Json = dict[str, Any]  # strings, numbers, booleans, None, and lists and objects of them
