"""Where the server keeps its state: the tables, the way in, and how the schema came to be."""
