"""Recipes: a pipeline spelt in TOML, with what it is about.

In story order: ``toml`` (read and written), ``words`` (steps, passes), ``subject`` (model, data, target),
``recipe_file``, ``planning`` (every objection before any work).
"""

from optimizer.recipe.recipe_file import Recipe, dump, load, load_text
from optimizer.recipe.subject import Subject
from optimizer.recipe.words import parse_answer_step, parse_step, pass_named

__all__ = ["Recipe", "Subject", "dump", "load", "load_text", "parse_answer_step", "parse_step", "pass_named"]
