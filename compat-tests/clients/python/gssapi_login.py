"""A login by GSSAPI through kazoo, with the ticket in the cache that the environment names. Argument: address."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import CREATOR_ALL_ACL

client = KazooClient(hosts=sys.argv[1], sasl_options={"mechanism": "GSSAPI"}, timeout=10)
try:
    client.start(timeout=20)
    print("connected")
    print("create", client.create("/kazoo", b"mine", acl=CREATOR_ALL_ACL))
    print("acl", client.get_acls("/kazoo")[0])
    print("read", client.get("/kazoo")[0])
except (KazooException, KazooTimeoutError) as error:
    print(type(error).__name__)
finally:
    client.stop()
    client.close()
