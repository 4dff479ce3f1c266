"""What stands in the sections of the report, each a dict of figures, texts, tables and pictures."""
