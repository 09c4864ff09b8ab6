"""Tor on this machine alone: a program that knows no relay, and a whole network of the smallest kind.

    tor = Tor(directory)                     # its SOCKS port is open, and it reaches nothing: its only directory authority is nobody
    with_relays = TorNetwork(names)          # an authority, two more relays (all of them exits) and a client; names: the DNS server of the exits
    net.client.socks, net.client.tunnel      # ports of the client: SOCKS, and CONNECT (HTTPTunnelPort)

Nothing of it leaves the loopback: the authorities that are built into tor are replaced, and the exits are asked for nothing but what a case asks.
A client says of every request by SOCKS whether it brought a name or an address (TestSocks), and refuses addresses (SafeSocks).
"""
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from .ports import free_port
from .times import PATIENCE, wait_until

# SafeLogging hides names; a file of defaults of Debian's would open a port of its own.
COMMON = """\
TestingTorNetwork 1
SafeLogging 0
NumCPUs 1
DataDirectory {dir}
Log notice stdout
{authority}
"""
CLIENT = """\
SocksPort 127.0.0.1:{socks}
HTTPTunnelPort 127.0.0.1:{tunnel}
SocksTimeout {patience}
TestSocks 1
SafeSocks 1
PathsNeededToBuildCircuits 0.25
"""
RELAY = """\
SocksPort 0
Nickname {name}
Address 127.0.0.1
ORPort 127.0.0.1:{onions}
AssumeReachable 1
ShutdownWaitLength 0
ExitRelay 1
ExitPolicyRejectPrivate 0
ExitPolicy accept *:*
PathsNeededToBuildCircuits 0.25
ServerDNSResolvConfFile {resolv}
ServerDNSDetectHijacking 0
ServerDNSTestAddresses localhost
ServerDNSAllowBrokenConfig 1
DoSCircuitCreationEnabled 0
DoSConnectionEnabled 0
"""
# The shortest times that tor takes: a first vote after some seconds.
AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@localhost
DirPort 127.0.0.1:{directory}
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
V3AuthNIntervalsValid 2
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
"""
NOBODY = f"DirAuthority nobody orport=9 no-v2 v3ident={'A' * 40} 127.0.0.1:9 {'B' * 40}"


class Tor:
    """One tor. Without anything else said it is a client of nobody."""

    def __init__(self, home, authority=NOBODY, text=CLIENT, host=None, **words):
        for program in ("tor", "tor-gencert"):
            if not shutil.which(program):
                pytest.skip(f"needs {program}")
        self.dir = home
        home.mkdir(mode=0o700, exist_ok=True)
        self.socks, self.tunnel = free_port(), free_port()
        words = {"patience": 2, **words}
        (home / "none").touch()
        (home / "torrc").write_text((COMMON + text).format(dir=home, authority=authority, socks=self.socks, tunnel=self.tunnel, **words))
        argv = ["tor", "--defaults-torrc", str(home / "none"), "-f", str(home / "torrc")]
        with open(home / "log", "wb") as log:
            self.process = subprocess.Popen(host.command(*argv) if host else argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.wait_log("Opened Socks listener connection|Opened OR listener connection")
        except BaseException:
            self.close()
            raise

    @property
    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def wait_log(self, pattern, seconds=PATIENCE):
        def found():
            assert self.process.poll() is None, self.log
            return re.search(pattern, self.log)
        return wait_until(found, lambda: f"{pattern!r} in the log of tor:\n{self.log}", seconds)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class TorNetwork:
    def __init__(self, names):
        self.dir, self.running = tempfile.TemporaryDirectory(prefix="hinge-tor-"), []
        try:
            self._start(names)
        except BaseException:
            self.close()
            raise

    def _start(self, names):
        home = pathlib.Path(self.dir.name)
        resolv = home / "resolv.conf"
        resolv.write_text(f"nameserver {names}\n")
        onions, directory = free_port(), free_port()
        authority = f"DirAuthority first orport={onions} no-v2 {self._identity(home / 'first', directory)}"
        self._run(home / "first", authority, RELAY + AUTHORITY, name="first", onions=onions, directory=directory, resolv=resolv)
        for name in ("second", "third"):
            self._run(home / name, authority, RELAY, name=name, onions=free_port(), resolv=resolv)
        self.client = self._run(home / "client", authority, CLIENT, patience=30)
        self.client.wait_log(r"Bootstrapped 100%", 60 + PATIENCE)

    def _run(self, *args, **words):
        self.running.append(Tor(*args, **words))
        return self.running[-1]

    @staticmethod
    def _identity(home, directory):
        """Keys of an authority; gives what other nodes must know it by."""
        if not shutil.which("tor-gencert"):
            pytest.skip("needs tor-gencert")
        keys = home / "keys"
        keys.mkdir(parents=True, mode=0o700)
        home.chmod(0o700)
        subprocess.run(["tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "12", "-a", f"127.0.0.1:{directory}", "-i",
                        keys / "authority_identity_key", "-s", keys / "authority_signing_key", "-c", keys / "authority_certificate"],
                       input=b"secret\n", check=True, capture_output=True, timeout=60)
        vote = re.search(r"fingerprint (\w+)", (keys / "authority_certificate").read_text())[1]
        none = home / "none"
        none.touch()
        told = subprocess.run(["tor", "--defaults-torrc", none, "-f", none, "--list-fingerprint", "--datadirectory", home, "--orport", "1",
                               "--nickname", "first", "--dirserver", NOBODY.split(" ", 1)[1]], check=True, capture_output=True, text=True, timeout=60)
        own = re.search(r"^first ([0-9A-F ]+)$", told.stdout, re.M)[1].replace(" ", "")
        return f"v3ident={vote} 127.0.0.1:{directory} {own}"

    def close(self):
        for tor in self.running:
            tor.close()
        self.dir.cleanup()
