"""The wheel's build hook: the console's browser side is built into the package before it is packed.

An editable install is left alone (run ``make web`` there). ``web/build.py`` does the work.
"""

# ruff: noqa: INP001 - run by path, by hatchling and make; never a package
from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's config type is not public
    """Builds ``fleet_server/console/static/`` for a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build the browser side, or stop the wheel with the next action.

        Args:
            version: "standard" or "editable".
            build_data: hatchling's own; unchanged.
        """
        if version == "editable":
            return
        web = _load_build()
        if os.environ.get(web.WITHOUT):
            self.app.display_warning(f"{web.WITHOUT} is set: this wheel's console has no style and no live parts")
            return
        try:
            web.build(say=self.app.display_info)
        except web.WebBuildError as error:
            self.app.abort(f"error: {error}")


def _load_build() -> ModuleType:
    # hatchling runs this file by path, outside any package, so its sibling is loaded by path, too
    spec = importlib.util.spec_from_file_location("edgeship_web_build", Path(__file__).with_name("build.py"))
    if spec is None or spec.loader is None:
        raise FileNotFoundError("web/build.py is missing: the source tree is not whole")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
