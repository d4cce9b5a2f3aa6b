"""Style codes: encoding of whole sets, what a label map leads to expect of them, their prior."""
