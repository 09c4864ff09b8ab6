"""Certificates for cases: made once a test run by the openssl program, in a directory of their own."""
import functools
import os
import pathlib
import subprocess
import tempfile


class Certificate:
    def __init__(self, cert, key):
        self.cert, self.key = str(cert), str(key)

    @property
    def lines(self):
        """The two directives."""
        return f"ssl_certificate {self.cert}; ssl_certificate_key {self.key};"


@functools.cache
def _home():
    home = pathlib.Path(tempfile.mkdtemp(prefix="hinge-certs-"))
    home.chmod(0o755)
    return home


def openssl(*args, **kwargs):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, timeout=30, **kwargs)


@functools.cache
def certificate(name="a.test", rsa=False, days=300, password=None, alt=None):
    """A self-signed certificate for `name`; readable by its owner alone."""
    stem = _home() / f"{name.replace('*', '_')}-{rsa}-{days}-{bool(password)}"
    kind = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    lock = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    openssl("req", "-x509", *kind, *lock, "-keyout", f"{stem}.key", "-out", f"{stem}.pem", "-days", str(days), "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={alt or 'DNS:' + name}")
    os.chmod(f"{stem}.key", 0o600)
    return Certificate(f"{stem}.pem", f"{stem}.key")
