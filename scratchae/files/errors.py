"""What a file that is not as it should be raises."""


class ScratchaeFormatError(ValueError):
    """A file is damaged, or says what this library does not understand or does not do."""
