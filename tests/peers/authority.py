"""A certificate authority of our own, and a server's certificate by it."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Authority:
    """`certificates` is what a client must trust; `server` is what a server shows."""

    certificates: Path
    server: Path

    def context(self) -> ssl.SSLContext:
        """For a server at 127.0.0.1 and localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def make(directory: Path) -> Authority:
    """An authority whose files are in this directory."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ours = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "An authority for tests")])
    now = datetime.now(UTC)

    def certificate(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer_name=ours,
            subject_name=subject,
            public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(days=2),
        )

    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
    signer = certificate(ours, root.public_key()).add_extension(x509.BasicConstraints(True, None), critical=True)
    shown = certificate(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LOOPBACK)]), key.public_key()
    ).add_extension(names, critical=False)
    authority = Authority(certificates=directory / "authority.pem", server=directory / "server.pem")
    authority.certificates.write_bytes(signer.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM))
    authority.server.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + shown.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM)
    )
    return authority
