"""What a parser must survive: any JSON, and real payloads with one place of them changed."""

import copy
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from responder.domain.alert import Alert, Notice, notice_from_json
from responder.domain.settings import Source
from responder.sources import Adapter, NotUnderstood, read_json
from responder.sources.payload import (
    MAX_ANNOTATION,
    MAX_FINGERPRINT,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_TITLE,
)

#: Texts with NUL and lone surrogates too, as escapes can bring them.
_TEXTS = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["firing", "resolved", "ok", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "x" * 5_000]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, payloads: Sequence[Any]) -> Any:
    """A real payload of which a few places hold something else, or nothing."""
    payload = copy.deepcopy(draw(st.sampled_from(payloads)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(payload))
        if not places:
            return draw(ANYTHING)
        holder, place = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[place] = draw(ANYTHING)
        else:
            del holder[place]
    return payload


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for place in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, place
            yield from _places(value[place])


def payloads_in(folder: Path) -> list[Any]:
    return [read_json(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def survives(adapter: Adapter, payload: Any, source: Source, at: Any) -> None:
    """It is not understood, or its notices can be stored and have our bounds."""
    body = json.dumps(payload).encode()
    try:
        notices = adapter.parse(read_json(body), source, at)
    except NotUnderstood as refused:
        assert len(str(refused)) < 300
        return
    for notice in notices:
        is_storable(notice)


def is_storable(notice: Notice) -> None:
    stored = json.dumps(notice.to_json(), ensure_ascii=False)
    assert not re.search(r"\\u0000|[\ud800-\udfff]", stored)
    assert notice_from_json(json.loads(stored.encode())) == notice
    if isinstance(notice, Alert):
        assert notice.name and notice.labels["alertname"] == notice.name
        assert notice.title and len(notice.title) <= MAX_TITLE
        assert len(notice.service) <= MAX_LABEL_VALUE
        assert len(notice.severity_word or "") <= MAX_LABEL_VALUE
        assert notice.fingerprint and len(notice.fingerprint) <= MAX_FINGERPRINT
        assert len(notice.labels) <= MAX_LABELS
        assert all(len(value) <= MAX_LABEL_VALUE for value in notice.labels.values())
        assert all(len(value) <= MAX_ANNOTATION for value in notice.annotations.values())
