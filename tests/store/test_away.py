"""Our database goes away for a while and comes back."""

import pytest

from responder.embedded import LocalPostgres
from responder.store import Store, StoreAway


def test_a_database_that_is_back_is_used_at_once_however_long_it_was_away() -> None:
    with LocalPostgres(durable=False, settings={"max_connections": "20"}) as server:
        store = Store(server.url(), 2, "test")
        store.open()
        with store.transaction() as tx:
            before = tx.now
        assert store.late_at == float("-inf")
        server.stop(keep=True)
        for _ in range(3):  # each waits for three seconds, the pool ever longer between attempts
            with pytest.raises(StoreAway), store.transaction():
                pytest.fail("it is away")
        away = store.late_at
        assert away > 0
        server.start()
        with store.transaction() as tx:
            assert tx.now > before
        assert store.late_at >= away
        store.close()
