"""The receiver of the bench, and what is told of its process."""

import os
import time

import requests

from bench.processes import cores, cpu, memory, tree
from bench.receiver import open_receiver


def test_it_notes_what_arrived_when_and_where() -> None:
    with open_receiver() as receiver, requests.Session() as sender:
        began = time.time()
        for number in range(3):
            answer = sender.post(f"{receiver.url}/hook_{number}", json={"number": number})
            assert answer.json() == {"status": "success"}
        arrived = receiver.received()
        assert [(each.path, each.body) for each in arrived] == [
            (f"/hook_{number}", {"number": number}) for number in range(3)
        ]
        assert began <= arrived[0].at <= arrived[2].at <= time.time()
        assert receiver.received(after=2) == arrived[2:]
        assert receiver.count() == 3


def test_a_large_body_arrives_whole() -> None:
    with open_receiver() as receiver:
        requests.post(f"{receiver.url}/hook", json={"text": "x" * 1_000_000}, timeout=30)
        (arrived,) = receiver.received()
        assert len(arrived.body["text"]) == 1_000_000


def test_each_role_has_the_cores_that_it_used() -> None:
    with open_receiver() as receiver:
        roles = {"busy": {os.getpid()}, "idle": {receiver.pid}}
        with cores(lambda: roles) as used:
            ends = time.process_time() + 0.3
            while time.process_time() < ends:
                pass
        assert used["busy"] > used["idle"]
        assert receiver.pid in tree(os.getpid())
        assert memory({receiver.pid}) > 1
        assert cpu({receiver.pid}) < cpu({os.getpid()})
