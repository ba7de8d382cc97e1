"""Files of any length, a block of rows at a time, in the form a model takes."""

from dhm.data.stream.form import Form
from dhm.data.stream.stream import EXTENSIONS, Rows, check_not_read, stream

__all__ = ["EXTENSIONS", "Form", "Rows", "check_not_read", "stream"]
