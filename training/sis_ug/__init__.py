"""SIS-UG (NeurIPS 2023): semantic image synthesis with a frozen, unconditional generator."""
