"""A bundle, looked at without our database: every part of it is what was exported."""

from collections.abc import Mapping
from typing import Any

from responder.domain.merkle import climb, leaf_of
from responder.domain.seal import Seal, seal_from_json
from responder.domain.witnessed import ROWS, event_text, row_sha256
from responder.pipeline.audit.bundle import manifest_of, manifest_text
from responder.pipeline.audit.keys import PublicKeys
from responder.pipeline.audit.report import Kind, Report
from responder.runbook.loader import checksum_of


class NotABundle(Exception):
    """The file is not what `responder audit export` writes."""


def check_bundle(bundle: Any, keys: PublicKeys | None) -> Report:
    """What was edited in it. keys: those that are known to be ours; None: the bundle's own."""
    try:
        report = Report(f"the bundle of incident {bundle['incident']['id']}")
        known = keys or PublicKeys(bundle["keys"]["keys"])
        if keys is None:
            kids = ", ".join(str(key["kid"]) for key in bundle["keys"]["keys"])
            report.notes.append(
                f"checked with the keys that it brings along: {kids}; are they ours?"
            )
        _check_manifest(bundle, known, report)
        seals = _check_seals(bundle, known, report)
        witnessed = _check_events(bundle, seals, report)
        _check_rows(bundle, witnessed, report)
        _check_rules(bundle, report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise NotABundle(f"{type(error).__name__}: {error}") from None
    return report


def _check_manifest(bundle: Mapping[str, Any], keys: PublicKeys, report: Report) -> None:
    said, manifest = bundle["signature"], bundle["manifest"]
    if not keys.knows(said["kid"]):
        report.found(Kind.ALTERED, "signature", f"it is made with {said['kid']!r}, no key of ours")
    elif not keys.verifies(said["kid"], bytes.fromhex(said["signature"]), manifest_text(manifest)):
        report.found(Kind.ALTERED, "manifest", "its signature is not of what it says")
    there = dict(manifest_of(bundle))
    for place in manifest.keys() - there.keys():
        report.found(Kind.MISSING, place, "it was exported and is gone")
    for place, digest in there.items():
        if place not in manifest:
            report.found(Kind.ADDED, place, "it was not exported")
        elif manifest[place] != digest:
            report.found(Kind.ALTERED, place, "it is not what was exported")


def _check_seals(bundle: Mapping[str, Any], keys: PublicKeys, report: Report) -> dict[int, Seal]:
    seals: dict[int, Seal] = {}
    for said in bundle["seals"]:
        seal = seal_from_json(said)
        named = f"seal {seal.number}"
        if not keys.verifies(seal.kid, seal.signature, seal.text):
            report.found(Kind.ALTERED, named, "it is not signed by us")
        before = seals.get(seal.number - 1)
        if before is not None and seal.previous != before.digest:
            report.found(Kind.ALTERED, named, f"it does not follow seal {before.number}")
        seals[seal.number] = seal
    report.seals = len(seals)
    report.last_seal = max(seals, default=None)
    return seals


def _check_events(
    bundle: Mapping[str, Any], seals: Mapping[int, Seal], report: Report
) -> dict[str, tuple[str, int]]:
    """What the events say of rows: digest and version of the columns by subject."""
    witnessed: dict[str, tuple[str, int]] = {}
    for event in bundle["events"]:
        report.events += 1
        if event["what"] == "row":
            witnessed[event["subject"]] = (event["after"], int(event["details"]["columns"]))
        if "seal" not in event:
            report.unsealed += 1
            continue
        seal = seals.get(int(event["seal"]))
        path = [bytes.fromhex(node) for node in event["path"]]
        leaf = leaf_of(event_text(event))
        if seal is None or seal.root != climb(leaf, int(event["index"]), seal.events, path):
            about = {"what": event["what"], "actor": event["actor"], "at": event["at"]}
            report.found(Kind.ALTERED, f"event {event['id']}", "it is not what was sealed", **about)
    return witnessed


def _check_rows(
    bundle: Mapping[str, Any], witnessed: Mapping[str, tuple[str, int]], report: Report
) -> None:
    there = {row["subject"]: row["content"] for row in bundle["rows"]}
    report.rows = len(there)
    for subject, content in there.items():
        table = subject.partition(" ")[0]
        digest, version = witnessed.get(subject, ("", 1))
        if not digest:
            report.unproven_rows += 1
        elif content.keys() != set(ROWS[table][version]) or row_sha256(content) != digest:
            report.found(Kind.ALTERED, subject, "it is not what was recorded")
    for subject in witnessed.keys() - there.keys():
        report.found(Kind.MISSING, subject, "it was recorded and is gone")


def _check_rules(bundle: Mapping[str, Any], report: Report) -> None:
    for rule in bundle["rules"]:
        if checksum_of(rule["module"].encode(), rule["sql"].encode()) != rule["checksum"]:
            says = f"its source does not have the checksum {rule['checksum']}"
            report.found(Kind.ALTERED, f"rule {rule['rule']}", says)
