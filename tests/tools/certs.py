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


CA_SECTION = """\
[ca]
default_ca = here
[here]
database = {home}/index
serial = {home}/serial
crlnumber = {home}/crlnumber
new_certs_dir = {home}
default_md = sha256
default_days = 300
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical,CA:false
subjectAltName = DNS:{name}
authorityKeyIdentifier = keyid
"""


class Authority(Certificate):
    """Somebody who signs: itself when nobody else does. What it signed can be revoked."""

    def __init__(self, name, parent=None):
        self.name, self.parent = name, parent
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="authority-", dir=_home()))
        self.home.chmod(0o755)
        super().__init__(self.home / "authority.pem", self.home / "authority.key")
        for file, text in [("index", ""), ("serial", "1000\n"), ("crlnumber", "01\n")]:
            (self.home / file).write_text(text)
        if parent:
            parent._sign(self, name, "authority")
        else:
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.cert,
                    "-days", "300", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _config(self, name="x"):
        path = self.home / "openssl.cnf"
        path.write_text(CA_SECTION.format(home=self.home, name=name))
        return str(path)

    def _ca(self, *args, name="x"):
        return openssl("ca", "-batch", "-config", self._config(name), "-cert", self.cert, "-keyfile", self.key, *args)

    def _sign(self, made, name, kind, start=None, end=None):
        request = f"{made.cert}.csr"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", made.key, "-out", request,
                "-subj", f"/CN={name}")
        times = [*(["-startdate", start] if start else []), *(["-enddate", end] if end else [])]
        self._ca("-notext", "-in", request, "-out", made.cert, "-extensions", kind, *times, name=name)
        os.chmod(made.key, 0o600)

    def issue(self, name, start=None, end=None, chain=False):
        """A leaf; chain: its file goes on with the authorities below the root. Times as 20200101000000Z."""
        stem = self.home / f"{name}-{len(list(self.home.iterdir()))}"
        made = Certificate(f"{stem}.pem", f"{stem}.key")
        made.issuer = self
        self._sign(made, name, "leaf", start, end)
        above = self
        with open(made.cert, "a") as f:
            while chain and above.parent:
                f.write(pathlib.Path(above.cert).read_text())
                above = above.parent
        return made

    def revoke(self, made):
        self._ca("-revoke", made.cert)

    def crl(self):
        """The list of what is revoked now."""
        path = self.home / f"crl-{len(list(self.home.iterdir()))}.pem"
        self._ca("-gencrl", "-out", str(path))
        return str(path)

    def ocsp(self, made):
        """What a responder says of it now, in DER."""
        path = self.home / f"ocsp-{len(list(self.home.iterdir()))}.der"
        openssl("ocsp", "-index", str(self.home / "index"), "-CA", self.cert, "-rsigner", self.cert, "-rkey", self.key, "-issuer", self.cert,
                "-cert", made.cert, "-ndays", "5", "-respout", str(path))
        return str(path)


def joined(*paths):
    """One file of several."""
    handle, path = tempfile.mkstemp(suffix=".pem", dir=_home())
    with os.fdopen(handle, "w") as f:
        f.write("".join(pathlib.Path(p).read_text() for p in paths))
    os.chmod(path, 0o644)
    return path
