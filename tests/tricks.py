"""Addresses that try to reach what is not on the public internet, and what each is answered."""

from __future__ import annotations

NOT_PUBLIC = "The URL points to an address that is not on the public internet."
NOT_FOUND = "The host name in the URL cannot be found: check its spelling."
CREDENTIALS = "The URL contains a user name or password: use a signed URL instead."
SCHEME = "The URL must start with https:// or http://."

TRICKS = {
    "http://127.0.0.1/": NOT_PUBLIC,
    "http://localhost/": NOT_PUBLIC,
    "http://localhost./": NOT_PUBLIC,
    "http://2130706433/": NOT_PUBLIC,
    "http://0x7f000001/": NOT_PUBLIC,
    "http://0177.0.0.1/": NOT_PUBLIC,
    "http://127.1/": NOT_PUBLIC,
    "http://0/": NOT_PUBLIC,
    "http://①②⑦.⓪.⓪.①/": NOT_FOUND,
    "http://[::1]/": NOT_PUBLIC,
    "http://[::]/": NOT_PUBLIC,
    "http://[::ffff:127.0.0.1]/": NOT_PUBLIC,
    "http://[::127.0.0.1]/": NOT_PUBLIC,
    "http://[::ffff:0:127.0.0.1]/": NOT_PUBLIC,
    "http://[64:ff9b::7f00:1]/": NOT_PUBLIC,
    "http://[2002:7f00:1::]/": NOT_PUBLIC,
    "http://[2001:0:7f00:1::]/": NOT_PUBLIC,
    "http://[fe80::1]/": NOT_PUBLIC,
    "http://[fd00::1]/": NOT_PUBLIC,
    "http://169.254.169.254/latest/meta-data/": NOT_PUBLIC,
    "http://100.64.0.1/": NOT_PUBLIC,
    "http://10.0.0.5:8000/": NOT_PUBLIC,
    "http://inside.example/": NOT_PUBLIC,
    "http://half.example/": NOT_PUBLIC,
    "http://outside.example@127.0.0.1/": CREDENTIALS,
    "http://user:secret@outside.example/": CREDENTIALS,
    "file:///etc/passwd": SCHEME,
    "gopher://127.0.0.1:6379/_FLUSHALL": SCHEME,
}

MORE_TRICKS = {
    **dict.fromkeys(
        (
            # other spellings of 127.0.0.1
            "http://127.0.1/", "http://127.127.127.127/", "http://0x7f.0x0.0x0.0x1/", "http://0x7f.1/",
            "http://017700000001/", "http://00000177.0.0.1/", "http://127%2E0%2E0%2E1/", "http://%31%32%37.0.0.1/",
            "HTTP://127.0.0.1/", "http://127.0.0.1?@outside.example/", "http://127.0.0.1:0/", "http://0.0.0.0:8000/",
            # where clouds tell their secrets
            "http://metadata.example/computeMetadata/v1/", "http://METADATA.example./", "http://six.example/", "http://localhost%2e/",
            "http://169.254.170.2/v2/credentials", "http://100.100.100.200/latest/meta-data/", "http://192.0.0.192/opc/v2/",
            "http://168.63.129.16/machine", "http://[fd00:ec2::254]/latest/meta-data/", "http://[::a9fe:a9fe]/",
            # IPv4 within IPv6, and zones
            "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:127.0.0.1]/", "http://[::ffff:0a00:5]/", "http://[0000::1]/",
            "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::7f00:1]/", "http://[2002:a9fe:a9fe::]/",
            "http://[fe80::1%25lo]/", "http://[fe80::1%lo]/", "http://[::1%25eth0]/",
            # what is not one public machine
            "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.0.1/", "http://198.18.0.1/",
            "http://192.88.99.1/", "http://198.51.100.1/", "http://224.0.0.1/", "http://240.0.0.1/",
            "http://255.255.255.255/", "http://[ff02::1]/", "http://[fec0::1]/", "http://[100::1]/",
            "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[5f00::1]/",
        ),
        NOT_PUBLIC,
    ),
    **dict.fromkeys(
        (
            # full-width and circled characters, which become dots and letters in other readers
            "http://127。0。0。1/", "http://127．0．0．1/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://127.0.0.1./",
            "http://256.256.256.256/", "http://4294967296/", "http://outside.example%00.127.0.0.1/",
        ),
        NOT_FOUND,
    ),
    "http://1.1.1.1%2F@127.0.0.1/": CREDENTIALS,
    "http://:@127.0.0.1/": CREDENTIALS,
    "http:127.0.0.1/": "The URL has no host.",
    "http:///127.0.0.1/": "The URL has no host.",
    "http://127.0.0.1:99999/": "The URL cannot be read: check its host and port.",
    **dict.fromkeys(
        (
            "//127.0.0.1/", "data:video/mp4;base64,AAAA", "jar:http://127.0.0.1!/x", "dict://127.0.0.1:11211/stats",
            "ldap://127.0.0.1/", "ws://127.0.0.1/", "javascript:alert(1)", "concat:a|b", "hls+http://127.0.0.1/",
        ),
        SCHEME,
    ),
}  # fmt: skip
