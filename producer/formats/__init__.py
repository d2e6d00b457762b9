"""Log lines to columns, in any of the formats that are known. Pure: text in, columns out."""
