"""Artifact in, answers and sketches out: the program on the device.

In story order: ``config``, ``identity`` (who the device is), ``link`` and ``outbox`` (its line to the
fleet), ``trust`` (what it believes), ``delivery`` (how bytes come), ``update`` (from an offer to a release that
serves), ``inference`` (answers), ``drift`` (sketches), ``serving_port`` (joins the two), ``supervisor`` (the process),
``status`` and ``cli``; ``errors``,
``state_folder`` (what lies where), ``clock``, ``disk``, ``logs`` and ``version`` are used by all.

Names are loaded when they are first used: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.config import AgentConfig, load_config
    from edge_agent.errors import AgentError
    from edge_agent.supervisor import run_agent

__all__ = ["AgentConfig", "AgentError", "load_config", "run_agent"]

_HOMES = {"AgentConfig": "config", "AgentError": "errors", "load_config": "config", "run_agent": "supervisor"}


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'edge_agent' has no attribute {name!r}")
    return getattr(import_module(f"edge_agent.{_HOMES[name]}"), name)
