"""kazoo over TLS, with a client certificate and without."""

import logging
import sys

from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl

logging.disable(logging.CRITICAL)
address, directory = sys.argv[1:3]


def client(**more):
    return KazooClient(hosts=address, use_ssl=True, ca=f"{directory}/ca.pem", timeout=20, **more)


own = client(certfile=f"{directory}/super.crt", keyfile=f"{directory}/super.key", verify_certs=True)
own.start(timeout=60)
name = "CN=root,OU=Ops\\, night,C=DE"
own.create("/kazoo", b"x" * 500_000, acl=[make_acl("x509", name, all=True)])
data, stat = own.get("/kazoo")
print(len(data), stat.version, own.get_acls("/kazoo")[0])
own.delete("/kazoo")
own.stop()
own.close()

stranger = client(verify_certs=False)
try:
    stranger.start(timeout=3)
    print("connected without a certificate")
except KazooTimeoutError:
    print("not connected without a certificate")
finally:
    stranger.stop()
    stranger.close()
