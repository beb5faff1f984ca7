"""The user's data: rows to calibrate with and rows to judge by, read when they are asked for.

``rows`` says what rows are; ``spool`` keeps them on disk, to be read by position. ``npz`` opens a file of arrays;
``dataset`` is rows of both kinds with their label. ``labels`` collects a label; ``splits`` parts one body of rows in
two, as the options say; ``named`` makes a data set of tensors by name. ``folder`` lists a folder's files and makes a
row of each: ``images``, ``audio``. ``table`` says what columns are: ``csv_table``, ``parquet_table``. ``function``
takes what a function of the user's returns. ``source`` opens any of them.
"""

__all__: list[str] = []
