"""Log lines to columns, in any of the formats that are known. Pure: text in, columns out.

``detection`` finds the format of each line; ``combined``, ``servers``, ``directives`` (format strings), ``json_lines``, ``ltsv`` and
``w3c`` read one kind each; ``envelopes`` takes off what log shippers put around a line.
"""
