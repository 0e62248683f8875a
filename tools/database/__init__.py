"""Every run of a folder as rows that can be asked in SQL.

    facts       what is known of one run, read from its folder
    layout      how facts lie in Parquet, and the tables that are made of them
    store       one Parquet a run, compacted into parts, and the index that says which of them count
    cache       the tables of all parts as one DuckDB file, which can be made again at any time
    questions   one SELECT over these tables, locked in: no files, no settings, a limit of memory and of time

What is kept here is made of the folders of runs and of nothing else: deleted, it is made again, with the same rows.
"""
