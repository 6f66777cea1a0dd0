"""What twistd finds: the ``mtlsedge`` command and the verifiers it brings. Declarations only.

A module that fails to import here makes the command disappear without a word.
"""

from twisted.application.service import ServiceMaker

from mtlsedge.trust.allow_list_verifier import AllowListFactory
from mtlsedge.trust.chain_verifier import ChainFactory
from mtlsedge.trust.crl_verifier import CrlFactory
from mtlsedge.trust.external_verifier import ExternalFactory
from mtlsedge.trust.http_verifier import HttpFactory
from mtlsedge.trust.ocsp_verifier import OcspFactory
from mtlsedge.trust.pin_verifier import PinFactory
from mtlsedge.trust.san_verifier import SanFactory

mtlsedge = ServiceMaker(
    "mtlsedge",
    "mtlsedge.tap",
    "A TLS edge that decides by client certificate in front of an HTTP origin",
    "mtlsedge",
)
allow_list = AllowListFactory()
chain = ChainFactory()
crl = CrlFactory()
external = ExternalFactory()
http = HttpFactory()
ocsp = OcspFactory()
pin = PinFactory()
san = SanFactory()
