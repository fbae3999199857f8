"""A brief as plain text: mail, and notes."""

from collections.abc import Iterator

from responder.receivers.brief import REPEATED, Brief
from responder.receivers.brief.piece import Part
from responder.receivers.brief.text import cut

#: Less of a part than this says nothing.
_WORTH_IT = 80
_MORE = "... cut here; the incident has the rest."


def plain(told: Brief, repeated: bool, limit: int) -> str:
    """All of it, or as many parts as fit into `limit`; a command is shown whole or not at all."""
    head = [told.headline, told.state, *([REPEATED] if repeated else [])]
    links = "\n".join(f"{name}: {href}" for name, href in told.links.items())
    links = links if len(links) <= limit // 3 else cut_lines(links, limit // 3)
    text = cut("\n".join(head), limit // 2)
    left = limit - len(text) - len(links) - len(_MORE) - 4
    for block, may_cut in _blocks(told):
        if len(block) + 2 > left:
            shortened = cut(block, left - 2) if may_cut and left > _WORTH_IT else ""
            text = "\n\n".join(filter(None, [text, shortened, _MORE]))
            break
        text, left = f"{text}\n\n{block}", left - len(block) - 2
    return "\n\n".join(filter(None, [text, links]))


def cut_lines(text: str, limit: int) -> str:
    """The whole lines that fit: half a link leads nowhere."""
    kept: list[str] = []
    for each in text.splitlines():
        if sum(map(len, kept)) + len(kept) + len(each) > limit:
            break
        kept.append(each)
    return "\n".join(kept)


def _blocks(told: Brief) -> Iterator[tuple[str, bool]]:
    """Each piece below the title of its part, and whether half of it is of use."""
    for part in told.parts:
        yield from ((block, not command) for block, command in _of_part(part))


def _of_part(part: Part) -> Iterator[tuple[str, bool]]:
    title = part.title.upper()
    for piece in part.pieces:
        code = piece.rows or piece.command
        indented = "\n".join(f"    {each}" for each in code.splitlines())
        between = "\n\n" if piece.text and code else ""
        body = f"{piece.text}{between}{indented}"
        yield (f"{title}\n{body}" if title else body), bool(piece.command)
        title = ""
