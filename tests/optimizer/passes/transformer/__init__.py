"""Parts of the transformer passes."""
