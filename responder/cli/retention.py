"""`retention`: what there is by month and day, and when it goes."""

from pathlib import Path
from typing import Any

import click

from responder.cli.common import (
    config_option,
    json_option,
    print_json,
    print_table,
    read_settings,
    store_of,
)


@click.command()
@config_option
@json_option
def retention(config: Path, as_json: bool) -> None:
    """What is kept of deliveries, alerts and audit, and when it goes; deletes nothing itself."""
    settings = read_settings(config)
    kept = settings.retention
    with store_of(settings) as store, store.transaction() as tx:
        rows = tx.all("kept_partitions", deliveries=kept.deliveries, audit=kept.audit)
        now = tx.now
    if as_json:
        print_json({"items": rows, "next": None})
        return
    shown = [
        {
            "partition": row["name"],
            "rows": f"{row['rows']:,}",
            "MB": f"{row['bytes'] / 1e6:,.1f}",
            "goes": _goes(row, row["goes_at"] is not None and row["goes_at"] <= now),
        }
        for row in rows
    ]
    print_table(["partition", "rows", "MB", "goes"], shown, "there is nothing")


def _goes(row: dict[str, Any], due: bool) -> str:
    if row["goes_at"] is None:
        return "never: [retention] audit is not set"
    if row["needed"]:
        return "stays while it is needed: open, held, waiting for review, or an open breaker"
    return "now, in the worker's next pass" if due else f"on {row['goes_at']:%Y-%m-%d}"
