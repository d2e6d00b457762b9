"""One row of the table a file: what it measures, against whom, and how it knows that the result is right."""
