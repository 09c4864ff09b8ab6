"""Debian's nginx beside hinge, with the same configuration: where the manual is silent, it decides."""
import os
import shutil

import pytest

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")


def both(hinge, text, **names):
    """Starts hinge and nginx with the same inside of an http block; gives (hinge, nginx)."""
    return hinge.http(text, **names), hinge.http(text, binary=NGINX, **names)


def both_proxies(hinge, origin, text="", **names):
    """As Starter.proxy, twice."""
    return both(hinge, "server {\n listen %%port%%;\n location / {\n proxy_pass http://%%origin%%;\n" + text + "\n}\n}", origin=origin, **names)
