"""The one error of the codec."""


class CodecError(ValueError):
    """Numbers that contradict themselves, or that nothing can hang on: damaged, or of another program."""
