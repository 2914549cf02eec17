"""Parts of charts are held in bounds, by addresses that nobody can guess, and what can not be made is told in words."""

from __future__ import annotations

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qanalysis.charts.linked.modules import MODULES, name_version, read_module
from qanalysis.charts.linked.scene import pack, unpack
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard import linked
from qanalysis.dashboard.linked import PARTS, PartStore
from tests.dashboard.fetching import fetch


def part(number: int, size: int = 0) -> dict[str, Any]:
    text = "".join(chr(33 + (number * 7919 + place * place * 31) % 90) for place in range(size))
    return {"panels": {}, "changes": [{}], "number": number, "text": text}


def make_part(index: int, place: int | None) -> dict[str, Any]:
    return {"panels": {}, "changes": [{}], "asked": [index, place]}


class TestPartStore:
    def test_a_part_comes_back_under_its_address(self) -> None:
        store = PartStore()
        address = store.put(part(1))
        held = store.get(address)
        assert held is not None
        assert unpack(held) == part(1)
        assert store.put(part(1)) == address
        assert store.put(part(2)) != address

    def test_an_address_can_not_be_told_from_what_it_holds(self) -> None:
        first, second = PartStore(), PartStore()
        addresses = [store.put(part(1)) for store in (first, second)]
        addresses += [store.offer("key", make_part) for store in (first, second)]
        assert len({address.rpartition("/")[2] for address in addresses}) == 4
        assert all(re.fullmatch(r"linked/(part|frames)/[0-9a-f]{32}", address) for address in addresses)
        assert second.get(addresses[0]) is None
        assert second.make(addresses[2], 0) is None

    def test_bytes_are_bounded_and_the_one_used_longest_ago_goes_first(self) -> None:
        size = len(pack(part(0, 3000)))
        store = PartStore(most_bytes=4 * size)
        addresses = []
        for number in range(40):
            addresses.append(store.put(part(number, 3000)))
            assert store.get(addresses[0]) is not None  # looked at again and again, it stays
            assert store._size == sum(map(len, store._packed.values())) <= 4 * size
        assert store.get(addresses[0]) is not None
        assert store.get(addresses[20]) is None

    def test_a_part_larger_than_all_bytes_is_still_served(self) -> None:
        store = PartStore(most_bytes=10)
        assert store.get(store.put(part(1, 500))) is not None

    def test_putting_the_same_part_again_takes_no_room(self) -> None:
        size = len(pack(part(0, 3000)))
        store = PartStore(most_bytes=3 * size)
        other = store.put(part(9, 3000))
        for _ in range(20):
            store.put(part(0, 3000))
        assert store.get(other) is not None

    def test_a_promise_is_kept_when_somebody_asks_and_made_once(self) -> None:
        store, calls = PartStore(), []

        def make(index: int, place: int | None) -> dict[str, Any]:
            calls.append((index, place))
            return make_part(index, place)

        address = store.offer("key", make)
        assert calls == []
        for index, place in ((0, None), (0, 3), (2, None), (0, None), (0, 3)):
            packed = store.make(address, index, place)
            assert packed is not None
            assert unpack(packed)["asked"] == [index, place]
        assert calls == [(0, None), (0, 3), (2, None)]

    def test_promises_are_bounded_and_an_evicted_one_is_none(self) -> None:
        store = PartStore(most_offers=3)
        addresses = [store.offer(number, make_part) for number in range(3)]
        store.offer(0, make_part)  # renewed
        store.offer(3, make_part)
        assert store.make(addresses[1], 0) is None
        assert store.make(addresses[0], 0) is not None
        assert store.offer(1, make_part) == addresses[1]
        assert store.make(addresses[1], 0) is not None

    def test_what_making_raises_comes_out_and_nothing_is_kept(self) -> None:
        store, faults = PartStore(), [CheckpointError("gone")]

        def make(index: int, place: int | None) -> dict[str, Any]:
            if faults:
                raise faults.pop()
            return make_part(index, place)

        address = store.offer("key", make)
        with pytest.raises(CheckpointError, match="gone"):
            store.make(address, 0)
        assert store.make(address, 0) is not None

    def test_many_threads_share_it(self) -> None:
        size = len(pack(part(0, 2000)))
        store = PartStore(most_bytes=6 * size, most_offers=5)
        gate = threading.Barrier(8)

        def work(seed: int) -> int:
            gate.wait(10)
            wrong = 0
            for turn in range(60):
                number = (seed * 13 + turn * 7) % 20
                held = store.get(store.put(part(number, 2000)))
                wrong += held is not None and unpack(held)["number"] != number
                made = store.make(store.offer(number, lambda index, _place, number=number: part(number + index)), 1)
                wrong += made is not None and unpack(made)["number"] != number + 1
            return wrong

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 0
        held = [packed for number in range(20) if (packed := store.get(f"linked/part/{number}"))]
        assert held == []
        assert store._size == sum(map(len, store._packed.values())) <= 6 * size
        assert len(store._offers) <= 5


class TestRoutes:
    def test_scripts_and_colours_are_served_for_ever(self) -> None:
        for name in MODULES:
            reply = fetch(f"/linked/asset/{name_version()}/{name}.js")
            assert reply.status_code == 200
            assert reply.text == read_module(name)
            assert reply.headers["content-type"].startswith("text/javascript")
            assert "immutable" in reply.headers["cache-control"]
            assert reply.headers["x-content-type-options"] == "nosniff"
        looks = fetch(f"/linked/asset/{name_version()}/looks.json").json()
        assert {"light", "dark", "twins", "template"} <= set(looks)
        assert b"plotly" in fetch(f"/linked/asset/{name_version()}/plotly.min.js").content[:2000]

    @pytest.mark.parametrize(
        "path",
        [
            "asset/x/none.js",
            "asset/x/modules.py",
            "asset/x/..%2fscene.py",
            "asset/x/%2e%2e",
            f"part/{'0' * 32}",
            "part/x",
            f"frames/{'0' * 32}/0",
            f"frames/{'0' * 32}/0?place=3",
            f"frames/{'0' * 32}/0?place=%D9%A3",
            "frames/x/-1",
            "frames/x/none",
            f"frames/x/{'9' * 5000}",
            f"frames/{'0' * 32}/0?place={'9' * 5000}",
        ],
    )
    def test_what_is_not_there_is_404_in_words(self, path: str) -> None:
        reply = fetch(f"/linked/{path}")
        assert reply.status_code == 404
        assert reply.headers["content-type"].startswith("text/plain")
        assert 0 < len(reply.text) < 100

    def test_parts_travel_as_they_are_held(self) -> None:
        reply = fetch(f"/{PARTS.put(part(5))}")
        assert (reply.status_code, unpack(reply.content)) == (200, part(5))
        assert reply.headers["cache-control"].startswith("private")
        address = PARTS.offer("a test", make_part)
        assert unpack(fetch(f"/{address}/2").content)["asked"] == [2, None]
        assert unpack(fetch(f"/{address}/2?place=7").content)["asked"] == [2, 7]
        assert unpack(fetch(f"/{address}/2?place=-7").content)["asked"] == [2, None]
        # Two dials to six decimals have more places than nine digits name.
        assert unpack(fetch(f"/{address}/53964000359?place=15").content)["asked"] == [53964000359, 15]

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            (CheckpointError("{root}/folder/own.npz does not exist"), "folder/own.npz does not exist"),
            (FileNotFoundError(2, "No such file or directory", "{root}/own.npz"), "'own.npz'"),
            (ValueError("tensor 'w' has no finite element"), "tensor 'w' has no finite element"),
            (MemoryError("no room for tensor 'w'"), "no room for tensor 'w'"),
            (IndexError("tuple index out of range"), "out of range"),
        ],
    )
    def test_what_can_not_be_made_is_422_in_words_and_leaves_no_traceback(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        fault: Exception,
        says: str,
    ) -> None:
        monkeypatch.setattr(linked, "read_root", lambda: tmp_path)
        told = type(fault)(*(str(part).format(root=tmp_path) if isinstance(part, str) else part for part in fault.args))
        if isinstance(fault, FileNotFoundError):
            told = FileNotFoundError(2, "No such file or directory", f"{tmp_path}/own.npz")

        def make(_index: int, _place: int | None) -> dict[str, Any]:
            raise told

        with caplog.at_level(logging.DEBUG):
            reply = fetch(f"/{PARTS.offer(('fault', says), make)}/0")
        assert reply.status_code == 422
        assert says in reply.text
        assert reply.text.endswith("Choose another layer or another source.")
        assert str(tmp_path) not in reply.text
        assert not [record for record in caplog.records if record.exc_info]
