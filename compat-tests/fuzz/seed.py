#!/usr/bin/env python3
"""Writes the seed corpora, some of them from the codec's captures. Run here: python3 seed.py."""

import base64
import gzip
import pathlib
import random
import re
import ssl

here = pathlib.Path(__file__).parent
root = here / ".." / ".."
golden = root / "jute" / "tests" / "golden"


def captures(name):
    lines = [line for line in (golden / name).read_text().splitlines() if not line.startswith("#")]
    return [(lines[at], bytes.fromhex(lines[at + 1].strip())) for at in range(0, len(lines), 3)]


def write(target, name, data):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / re.sub(r"\W+", "_", name)).write_bytes(data)


# Connections: scripts of requests as `src/script.rs` spells them, two committed batches each.
dice = random.Random(1)
for number in range(12):
    script = [number * 23 % 256]
    for turn in range(40):
        script.append(dice.choice([6, 7, 6, 7, 6, 2, 4, 3]) << 2 | dice.randrange(2))
        if script[-1] >> 2 >= 6:
            script.append(dice.choice([0, 1, 2, 3, 6, 8, 9, 13, 16, 18, 18, 18, 18, 18, 18]))
            script += [dice.randrange(256) for _ in range(dice.randrange(4, 9))]
        elif script[-1] >> 2 == 3:
            script.append(dice.randrange(100))
    write("frames", f"script_{number}", bytes(script))
for name, data in captures("multi.txt"):
    if name.startswith("request ") and len(data) < 200:
        frame = (5).to_bytes(4, "big") + (14).to_bytes(4, "big") + data
        write("frames", f"raw_{name}", bytes([0, 1 << 2, len(frame)]) + frame)

# Usage that stands at the largest number, and a creation that counts on from it.
create, set_data = lambda path: [6 << 2, 18, 5, 0, path, 1, 0, 0], [6 << 2, 18, 2, 9, 5, 0]
quota = [0] + create(7) + create(8) + create(9) + create(1) + set_data + [2 << 2] + create(2)
write("frames", "usage_at_the_largest_number", bytes(quota))

# A reply that waits for the client, and a second one that the writer could send when there is room again.
unread, turn = 0x80, 2 << 2
stuck = [0, 6 << 2 | unread, 18, 5, 0, 1, 1, 0, 0, turn | unread, 6 << 2 | unread, 42, 5, 0, 2, 1, 0, 0, turn]
write("frames", "reply_behind_one_that_is_stuck", bytes(stuck))
tight = [0x80, 6 << 2 | unread] + stuck[2:10] + [6 << 2 | unread, 1, 1, 6 << 2 | unread, 25, 1] + stuck[10:]
write("frames", "reply_behind_one_that_is_stuck_and_tight_bounds", bytes(tight))

# Logs: every captured transaction, alone and all in one file.
everything = b""
for name, data in captures("txns.txt"):
    piece = len(data).to_bytes(2, "big") + data
    everything += piece
    write("log_file", name, bytes([3 | 16]) + piece)
    write("log_file", f"{name}_as_it_is", bytes([2 | 4]) + piece)
write("log_file", "all_in_one", bytes([3]) + everything)
write("log_file", "all_in_two", bytes([3 | 8 | 4]) + everything)


def creation(path):
    txn = bytes(28) + (15).to_bytes(4, "big") + len(path).to_bytes(4, "big") + path + b"\xff" * 8 + b"\0" + b"\xff" * 4
    return len(txn).to_bytes(2, "big") + txn


write("log_file", "the_roots_other_name", bytes([3]) + creation(b"/a") + creation(b"//a"))
header = b"ZKLG\0\0\0\x02" + bytes(8)
write("log_file", "empty", bytes([0]))
write("log_file", "header_and_padding", bytes([0]) + header + bytes(600))
write("log_file", "torn", bytes([1]) + bytes(9) + b"\0\0\x30" + b"\x01" * 40)


# Snapshots: a small one in every form, and two that unpack to much more than they are.
def integer(value):
    return value.to_bytes(4, "big", signed=True)


def long(value):
    return value.to_bytes(8, "big", signed=True)


def field(data):
    return integer(-1) if data is None else integer(len(data)) + data


def node(path, data, acl, owner=0):
    stat = long(3) + long(4) + long(5) + long(6) + integer(1) + integer(2) + integer(0) + long(owner) + long(7)
    return field(path) + field(data) + long(acl) + stat


acls = integer(1) + long(1) + integer(1) + integer(31) + field(b"world") + field(b"anyone")
nodes = [
    node(b"", b"", -1),
    node(b"/zookeeper", b"", -1),
    node(b"/zookeeper/quota", b"", -1),
    node(b"/zookeeper/quota/a", b"", 1),
    node(b"/zookeeper/quota/a/zookeeper_limits", b"count=3,bytes=-1", 1),
    node(b"/zookeeper/quota/a/zookeeper_stats", b"count=1,bytes=1", 1),
    node(b"/a", b"x", 1),
    node(b"/a/e", None, 9, 0x100000000000001),
    node(b"/a/c", b"", 1, -(1 << 63)),
]
content = integer(1) + long(5) + integer(4000) + acls + b"".join(nodes)
for selector in range(4, 7):
    write("snapshot_file", f"content_{selector}", bytes([selector | 8 | 16]) + content)
    write("snapshot_file", f"content_{selector}_extended", bytes([selector | 32 | 64]) + content)
last_list = content.replace(acls, integer(1) + long((1 << 63) - 1) + acls[12:])
write("snapshot_file", "the_last_list_id", bytes([4]) + last_list)
newer = content.replace(node(b"/a", b"x", 1), node(b"/a", b"x", 1).replace(long(3), long(1 << 40), 1))
write("snapshot_file", "a_node_newer_than_the_snapshot", bytes([4]) + newer)
magic = b"ZKSN\0\0\0\x02" + b"\xff" * 8
big = magic + integer(0) + integer(0) + node(b"", bytes(900_000), -1) + node(b"/b", bytes(900_000), -1) * 9
write("snapshot_file", "unsealed", bytes([0]) + magic + content + b"\0\0\0\x01/")
write("snapshot_file", "gzip_bomb", bytes([1]) + gzip.compress(big, 9, mtime=0))
write("snapshot_file", "gzip_of_a_length", bytes([1]) + gzip.compress(magic + b"\x7f\xff\xff\xff" * 4, 9, mtime=0))
snappy = b"\x82SNAPPY\0" + integer(1) + integer(1)
# A block that says it is 8 MiB of zeros: one literal, then copies of 64 bytes.
block = b"\x80\x80\x80\x04" + b"\x00\x00" + b"\xfe\x01\x00" * 400
write("snapshot_file", "snappy_bomb", bytes([2]) + snappy + integer(len(block)) + block)
write("snapshot_file", "snappy_of_a_length", bytes([2]) + snappy + b"\xff\xff\xff\xff")

# The same tree as a leader sends it, whole, cut short, and with what follows it.
end = b"\0\0\0\x01/" + field(b"BenWasHere")
for selector in range(3):
    write("snapshot_stream", f"content_{selector}", bytes([selector]) + content + end)
write("snapshot_stream", "extended", bytes([4]) + content + end)
write("snapshot_stream", "cut", bytes([0]) + content[:-20])
write("snapshot_stream", "rootless", bytes([0]) + integer(0) + integer(0) + end)
write("snapshot_stream", "a_length", bytes([0]) + integer(0) + integer(0) + b"\x7f\xff\xff\xff")


# The election port: handshakes of each form, messages of each form.
address = field(b"127.0.0.1:3888")
vote = integer(0) + long(2) + long(0x200000001) + long(4) + long(2) + integer(2) + field(b"version=0")
write("election_port", "one_address", long(-65536) + long(3) + address + field(vote) * 2)
several = field(b"one:3888|[::1]:3889|0.0.0.0:1")
write("election_port", "several_addresses", long(-65535) + long(3) + several + field(vote))
write("election_port", "before_3_5", long(3) + field(vote[:28]) + field(vote[:40]) + field(vote[:27]) + field(vote))
write("election_port", "a_length", long(3) + integer(524288) + bytes(9))
write("election_port", "too_long", long(3) + integer(524289) + bytes(9))


# The quorum port: what each side says.
def packet(kind, zxid, data, identities=()):
    listed = integer(len(identities)) if identities else integer(-1)
    return integer(kind) + long(zxid) + field(data) + listed + b"".join(map(field, identities))


txn = long(5) + integer(1) + long(0x200000001) + long(9) + integer(-10) + integer(30000)
hello = packet(11, 3 << 32, long(2) + integer(0x10000) + long(0))
write("quorum_packets", "hello", bytes([0, 20]) + hello)
write("quorum_packets", "an_old_hello", bytes([0, 3]) + packet(11, 3 << 32, None))
identities = integer(2) + field(b"ip") + field(b"127.0.0.1") + field(b"digest") + field(None)
request = integer(1) + long(-1) + field(long(5) + integer(3) + integer(5) + b"body") + identities
learner = packet(18, 7, integer(2)) + packet(3, 2 << 32, None) + packet(5, 9, long(5) + integer(30000)) + request
learner += packet(6, -1, long(5) + integer(30000))
write("quorum_packets", "learner", bytes([1, 30]) + learner)
leader = packet(17, 3 << 32, integer(0x10000)) + packet(13, 7, None) + packet(2, 0x200000001, txn)
leader += packet(4, 0x200000001, None) + packet(10, 2 << 32, b"version=0") + packet(12, -1, None)
leader += packet(5, 9, None) + packet(7, 0, None) + packet(6, -1, long(5) + b"\x01") + packet(8, 0x200000001, txn)
write("quorum_packets", "leader", bytes([2, 90]) + leader)
write("quorum_packets", "a_snapshot", bytes([2, 0]) + packet(15, 7, None) + content)
write("quorum_packets", "a_length", bytes([2, 0]) + integer(2) + long(1) + b"\x7f\xff\xff\xff")
write("quorum_packets", "many_identities", bytes([1, 0]) + integer(1) + long(1) + field(b"") + b"\x7f\xff\xff\xff")


# Configuration: the files that are shipped, and odd spellings.
conf = root / "conf"
for path in sorted(conf.rglob("*.cfg")):
    write("config", path.name, b"\1" + path.read_bytes())
odd = [
    b"tickTime=0x10\nsnapCount = 99999999999\n",
    b"server.1=a:1:2:observer;[::1]:3\nserver.2=b|c:1:2\ngroup.1=1:2\nweight.1=3\n",
    b"jute.maxbuffer=-1\\\n  0\nautopurge.purgeInterval=\\u0031\n# \xff\n!x\n:=\n",
    b"-Dzookeeper.snapCount=3 -Djute.maxbuffer=0xfffffff",
    b"secureClientPort=1\nclientPort=0\nmetricsProvider.className=org.apache.zookeeper.metrics.impl.NullMetricsProvider\n",
]
for number, text in enumerate(odd):
    for selector in (0, 1, 2):
        write("config", f"odd_{number}_{selector}", bytes([selector]) + text)

# Every word, allowed and refused, of servers of every kind, with facts that hold odd characters.
commands = (root / "src" / "admin" / "commands.rs").read_text()
facts = b"\0".join([b"/a", b"/b\n/c", b"\xff\xfe", b"\t=,", b"zk_x", b"/\xc3\xbc", bytes(range(1, 40))])
for word in re.findall(r'b"(\w{4})"', commands) + ["stmk", "none"]:
    for flags in (0x00, 0x3F, 0x4D, 0x9A, 0xFF):
        write("four_letter", f"{word}_{flags:02x}", bytes([flags]) + word.encode() + b"mask-012" + facts)
write("four_letter", "telnet_close", b"\0\xff\xf4\xff\xfd" + facts)
write("four_letter", "trace_mask_cut_short", b"\0stmk1234567")

# Lists and answers, and certificates that say whom to ask.
for path in sorted((root / "src" / "tls" / "testdata" / "revocation").iterdir()):
    if path.suffix != ".request":
        write("revocation", path.name, bytes([path.suffix == ".der"]) + path.read_bytes())

# Stores and certificates: those of the server's own tests.
testdata = root / "src" / "tls" / "testdata"
for path in sorted(testdata.iterdir()):
    kind = {".jks": 0, ".pem": 1, ".p12": 2}.get(path.suffix)
    if kind is not None:
        write("key_stores", path.name, bytes([kind]) + path.read_bytes())
    if path.suffix == ".pem":
        blocks = re.findall(r"BEGIN CERTIFICATE-+\n(.*?)\n-+END", path.read_text(), re.S)
        for number, block in enumerate(blocks):
            write("certificates", f"{path.name}_{number}", base64.b64decode(block))
for number, line in enumerate((testdata / "names.txt").read_text().splitlines()[:40]):
    write("certificates", f"name_{number}", bytes.fromhex(line.split(" ")[0]))

# What a client says first in TLS 1.2 and 1.3, as Python's library says it, and records that are none.
for number, version in enumerate([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(came, goes, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = goes.read()
    write("tls_records", f"hello_{number}", bytes([255]) + hello)
    write("tls_records", f"hello_{number}_in_pieces", bytes([7]) + hello)
    write("tls_records", f"hello_{number}_twice", bytes([255]) + hello + hello)
for name, record in [("huge", "160301ffff"), ("huge_hello", "1603010004" "01ffffff"), ("alert", "15030100020228"), ("data", "170303000141")]:
    write("tls_records", name, bytes([64]) + bytes.fromhex(record) + bytes(200))


def flights(version, server, client):
    """What the two sides of a handshake say, in turn: of a server and a client with certificates of the server's tests."""
    accepting, connecting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    connecting.check_hostname = False
    for context, name in [(accepting, server), (connecting, client)]:
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(testdata / name)
        context.load_verify_locations(testdata / "ca.pem")
        context.verify_mode = ssl.CERT_NONE
        context.options |= ssl.OP_NO_TICKET
    accepting.verify_mode = ssl.CERT_OPTIONAL
    one, other = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    sides = [(connecting.wrap_bio(*one), *one), (accepting.wrap_bio(*other, server_side=True), *other)]
    said = []
    for turn in range(4):
        (side, _, goes), (_, to, _) = sides[turn % 2], sides[1 - turn % 2]
        try:
            side.do_handshake()
        except ssl.SSLError:
            pass
        said.append(goes.read())
        to.write(said[-1])
    return said


# Certificates go over TLS 1.2 in plain: the other side's are read before anything is proven.
for certificate in ["server", "client", "self", "v1", "v1-below", "expired", "server-only", "rsa"]:
    hello, flight, finish, _ = flights(ssl.TLSVersion.TLSv1_2, f"{certificate}.pem", f"{certificate}.pem")
    write("tls_records", f"certificate_{certificate}", bytes([255]) + hello + finish)
    write("peer_tls_records", f"connects_{certificate}", bytes([254]) + hello + finish)
    write("peer_tls_records", f"connected_to_{certificate}", bytes([255]) + flight)
    write("peer_tls_records", f"connected_to_{certificate}_in_pieces", bytes([15]) + flight)
hello, flight, finish, _ = flights(ssl.TLSVersion.TLSv1_3, "server.pem", "client.pem")
write("peer_tls_records", "connects_3", bytes([254]) + hello + finish)
write("peer_tls_records", "connected_to_3", bytes([255]) + flight)
for name, record in [("huge", "160303ffff"), ("huge_hello", "1603030004" "02ffffff"), ("huge_certificate", "1603030004" "0bffffff")]:
    write("peer_tls_records", name, bytes([65]) + bytes.fromhex(record) + bytes(200))

# Logins: what a client answers a challenge, right but for its proof, and what a server says.
fields = [
    b"charset=utf-8", b'username="bob"', b'realm="zk-sasl-md5"', b'nonce="NONCE"', b"nc=00000001", b'cnonce="abc"',
    b'digest-uri="zookeeper/zk-sasl-md5"', b"response=" + b"0" * 32, b"qop=auth", b'authzid="bob"', b"maxbuf=65536",
]
write("sasl", "response", b"\0" + b"\0" + b",".join(fields))
write("sasl", "response_twice", b"\0" + b"\0" + b",".join(fields) + b"\0" + b",".join(fields))
for at in range(len(fields)):
    write("sasl", f"response_without_{at}", b"\0" + b"\0" + b",".join(fields[:at] + fields[at + 1 :]))
    write("sasl", f"response_with_two_{at}", b"\0" + b"\0" + b" , ".join(fields + [fields[at]]))
for name, text in [("escapes", b'username="b\\"o\\\\b",x="'), ("blanks", b" \t\r\n,, username = bob ,"), ("bytes", bytes(range(1, 256)))]:
    write("sasl", name, b"\0" + b"\0" + text)
    write("sasl", name + "_of_a_peer", b"\2" + b"\0" + text)
challenge = b'realm="zk-quorum-sasl-md5",nonce="abc",charset=utf-8,algorithm=md5-sess'
write("sasl", "challenge", b"\1" + challenge + b"\0" + b"rspauth=" + b"0" * 32)
write("sasl", "challenge_twice", b"\1" + challenge + b"\0" + challenge)
write("sasl", "challenge_with_realms", b"\1" + b'realm=a,realm=b,qop="auth,auth-int",maxbuf=1,' + challenge)

# Login configurations.
module = b"org.apache.zookeeper.server.auth.DigestLoginModule required"
for name, text in [
    ("users", b'Server {\n ' + module + b'\n user_bob="secret" user_super="x\\"y\\101";\n};\n'),
    ("keytab", b'Server { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab="${/}x${home}"; };'),
    ("comments", b"// one\n/* two\n*/ S { m OPTIONAL; /* three */ n requisite a=b; };\n# four"),
    ("two", b"A { b required; };\nC { d sufficient e=f; };"),
    ("broken", b"A { b required c=canary canary; };"),
    ("number", b"A { b required c=5canary; };"),
    ("quotes", b"A { b required c='canary'; \"open"),
    ("expansion", b'A { b required c="${{x}}${y}${" d="${toolongtobeset}"; };'),
]:
    write("login_file", name, text)
