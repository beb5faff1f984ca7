"""How the schema came to be, one revision a file in ``versions/``."""
