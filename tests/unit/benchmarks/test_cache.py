"""What a peer measured before is taken again only for the same tables, range, peer, versions and code."""

from dataclasses import replace

import pyarrow as pa

from tests.benchmarks import cache, run
from tests.benchmarks.cache import PeerCache, digest_of, key_of
from tests.benchmarks.peers import PEERS, Peer, Result

RESULT = Result("p", 10, 1.0, 2.0, 0.5)


def test_a_result_is_found_again_by_another_run(tmp_path):
    PeerCache(tmp_path / "new" / "peers.json").put("key", RESULT)
    again = PeerCache(tmp_path / "new" / "peers.json")
    assert again.get("key") == RESULT
    assert again.get("other") is None


def test_the_key_changes_with_everything_that_decides_the_bytes(monkeypatch):
    name, peer = next(iter(PEERS.items()))
    keys = [
        key_of("tables", "0.01", name, peer),
        key_of("others", "0.01", name, peer),
        key_of("tables", "0.001", name, peer),
        key_of("tables", "0.01", "another", peer),
        key_of("tables", "0.01", name, replace(peer, packages=("pyarrow", "numpy"))),
        key_of("tables", "0.01", name, replace(peer, modules=("plain",))),
    ]
    monkeypatch.setattr(cache, "version", lambda package: "0.0")
    keys.append(key_of("tables", "0.01", name, peer))
    assert len(set(keys)) == len(keys)


def test_comments_are_no_reason_to_measure_again_but_code_is(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_CODE", tmp_path)
    digests = []
    for code in ("x = 1\n", "x  =  1  # one\n", "x = 2\n"):
        (tmp_path / "peer.py").write_text(code)
        digests.append(cache._code_digest("peer"))
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_is_of_contents_and_not_of_chunks():
    table = pa.table({"x": [1, None, 3], "s": ["a", "b", None]})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert digest_of([table]) == digest_of([chunked]) == digest_of([table])
    assert len({digest_of([table]), digest_of([table, table]), digest_of([table.slice(1)])}) == 3


def test_peers_are_measured_once_unless_asked_again_and_trained_ones_on_one_file_only(tmp_path, monkeypatch):
    encoded = []

    def encode(table, bounds):
        encoded.append(table)
        return b"x"

    table = pa.table({"x": [1, 2]})
    peer = Peer(encode, lambda data: table, lossless=True)
    monkeypatch.setattr(run, "ALL_PEERS", {"quick": peer, "trained": replace(peer, trained=True)})
    remembered = PeerCache(tmp_path / "peers.json")
    calls, codecs = [], []
    for parts, fresh in (([table], False), ([table], False), ([table], True), ([table, table], False)):
        rows = run.peer_rows("t", "0", parts, {}, remembered, fresh=fresh)
        codecs.append([(row.codec, row.bytes, row.remembered) for row in rows])
        calls.append(len(encoded))
    assert calls == [2, 2, 4, 6]
    assert codecs[:3] == [[("quick", 1, seen), ("trained", 1, seen)] for seen in (False, True, False)]
    assert codecs[3] == [("quick", 2, False)]
