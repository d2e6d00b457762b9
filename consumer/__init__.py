"""Archives and counts what lands, computes exact metrics, reports and monitors."""
