"""Files of people's decisions, read row by row: our own JSONL and CSV, Label Studio, FiftyOne. No database."""
