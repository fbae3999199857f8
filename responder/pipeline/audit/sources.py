"""Which code did it: the source of each version of a rule that was ever loaded."""

from responder.pipeline.services import Services


class RuleSources:
    """A tick of a worker's watch: what is loaded is kept, once."""

    def __init__(self) -> None:
        self._kept = False

    def __call__(self, services: Services) -> None:
        if self._kept:
            return
        rules = services.catalogue.rules.values()
        with services.store.transaction() as tx:
            tx.many(
                "keep_rule_source",
                [
                    {
                        "checksum": rule.checksum,
                        "rule": rule.name,
                        "module": rule.module,
                        "sql": rule.sql,
                    }
                    for rule in rules
                ],
            )
        self._kept = True
