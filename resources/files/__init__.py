"""Tables in files: CSV, XLSX, Parquet."""
