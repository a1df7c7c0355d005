"""What operators' tools make of a server: the readers of Solr, Telegraf, Datadog and of mntr exporters, by the
rules of each, and a Prometheus scrape. Each prints what it read, and what it refuses to read.

Arguments: the server's address and, where it exports metrics, their port.
"""

import re
import socket
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 20


def ask(address, word):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
        connection.sendall(word)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode()


def kind(value):
    """Numbers differ between two servers; that they are numbers must not."""
    for number in (int, float):
        try:
            number(value)
            return number.__name__
        except ValueError:
            continue
    return value


def solr(address):
    """ZookeeperStatusHandler: words with a line end; one TAB or one `=` a line; green only without complaint."""
    assert ask(address, b"ruok\n").splitlines() == ["imok"]
    for word, mark in ((b"mntr\n", "\t"), (b"conf\n", "=")):
        lines = ask(address, word).splitlines()
        assert lines, f"{word} is not answered"
        for line in lines:
            parts = line.split(mark)
            assert (len(parts) >= 2 and parts[1]) or line.startswith("membership:"), f"{word}: {line!r}"
            if word == b"mntr\n" and parts[0] in ("zk_server_state", "zk_followers", "zk_synced_followers"):
                print("solr:", parts[0], kind(parts[1]))
            if word == b"conf\n":
                print("solr:", parts[0])


def telegraf(address):
    """inputs.zookeeper: every line of mntr must match, and what the expression leaves out is lost."""
    rule = re.compile(r"^zk_(\w+)\s+([\w.\-]+)", re.ASCII)
    for line in ask(address, b"mntr\n").splitlines():
        found = rule.match(line)
        if not found:
            print("telegraf: rejects", re.split(r"[{\t]", line)[0])
            continue
        name, value = found.groups()
        print("telegraf:", name, kind(value) if name != "version" else "text")


def datadog(address):
    """The zk check: `stat` line by line in one order, then the numbers of mntr behind its first line."""
    assert ask(address, b"ruok").splitlines()[0] == "imok"
    lines = iter(ask(address, b"stat").splitlines())
    version = re.search(r"(\d+\.\d+\.\d+)", next(lines)).group()
    assert tuple(map(int, version.split("."))) > (3, 4, 4)
    assert next(lines) == "Clients:"
    clients = 0
    while next(lines).strip():
        clients += 1
    assert clients > 0
    latency = next(lines).split(":")[1].strip().split("/")
    assert len([float(value) for value in latency]) == 3
    for label in ("Received", "Sent", "Connections", "Outstanding", "Zxid", "Mode", "Node count"):
        name, value = next(lines).split(":")
        assert name == label, f"{name!r} where {label!r} is read"
        if label == "Zxid":
            int(value.strip(), 16)
        elif label == "Mode":
            print("datadog: mode", value.strip())
        else:
            int(value.strip())
    assert not list(lines)
    # The first line is skipped unread: it has to be the version.
    first, *rest = ask(address, b"mntr").splitlines()
    assert first.startswith("zk_version\t"), first
    for line in rest:
        parts = line.split()
        if len(parts) == 2 and kind(parts[1]) in ("int", "float"):
            print("datadog:", parts[0].replace("zk", "zookeeper", 1).replace("_", ".", 1))


def exporters(address):
    """The common mntr exporters: TAB or blank between name and value, three names with a text, else a number."""
    for line in ask(address, b"mntr").split("\n"):
        name, *values = line.replace("\t", " ").split(" ")
        if name in ("zk_version", "zk_server_state", "zk_peer_state"):
            assert values and values[0], f"exporter: {line!r}"
            shown = re.sub(r"^(\d+\.\d+\.\d+)-.*", r"\1", values[0])
            print("exporter:", name, shown)
        elif name:
            assert name.startswith("zk_"), f"exporter: {line!r}"
            # What the exporter passes on must be a line that a scrape reads.
            try:
                (family,) = text_string_to_metric_families(f'{name}{{zk_host="{address}"}} {values[0]}\n')
                print("exporter:", name, len(family.samples))
            except ValueError:
                print("exporter: rejects", name.split("{")[0])


def prometheus(port):
    """A scrape: the content type, the format, and of every metric its name, type and the form of its samples."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Accept": "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        content_type = response.headers["Content-Type"].lower().replace("; ", ";")
        text = response.read().decode()
    print("scrape: content type", content_type)
    # A family that comes twice is read without complaint, but is not one that a server may send.
    heads = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len({line.split(" ")[2] for line in heads}), "a metric has two heads"
    families = list(text_string_to_metric_families(text))
    assert families
    for family in families:
        print("scrape:", family.name, family.type)
        forms = {(s.name, *(f"{k}={v if k == 'quantile' else ''}" for k, v in sorted(s.labels.items()))) for s in family.samples}
        for form in sorted(forms):
            print("scrape:", family.name, *form)


def main():
    address, *ports = sys.argv[1:]
    solr(address)
    telegraf(address)
    datadog(address)
    exporters(address)
    for port in ports:
        prometheus(port)


main()
