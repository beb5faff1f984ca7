"""Recipes, in story order: ``toml`` (read and written), ``words`` (steps, passes), ``subject`` and ``recipe_file``."""

from optimizer.recipe.recipe_file import Recipe, dump, load, load_text
from optimizer.recipe.subject import Subject
from optimizer.recipe.words import parse_step, pass_named

__all__ = ["Recipe", "Subject", "dump", "load", "load_text", "parse_step", "pass_named"]
