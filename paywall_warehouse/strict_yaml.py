"""YAML that users write: a safe loader that refuses what is probably a mistake."""

from collections.abc import Collection
from typing import Any

import yaml

SHOWN_CHARACTERS = 60


class StrictLoader(yaml.SafeLoader):
    """A loader that refuses repeated keys, of which YAML would silently keep the last one, and aliases, with
    which a small file can become a huge mapping.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "aliases (*) are not supported; write the part out", self.get_mark()
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse repeated keys, and keys that are lists or mappings."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Collection) and not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is not a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"'{str(key)[:SHOWN_CHARACTERS]}' is there more than once",
                    key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
