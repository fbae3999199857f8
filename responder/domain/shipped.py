"""Where the files are that travel with the code: `rules/` and `sql/`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
#: In an installed wheel; a checkout has no such folder.
INSTALLED = _PACKAGE / "shipped"


def shipped(folder: str) -> Path:
    """The folder in an installed wheel, else the one beside the package in a checkout."""
    installed = INSTALLED / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder
