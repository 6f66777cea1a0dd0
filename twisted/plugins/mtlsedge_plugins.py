"""What twistd finds: the ``mtlsedge`` command and the verifiers it brings. Declarations only.

A module that fails to import here makes the command disappear without a word.
"""

from twisted.application.service import ServiceMaker

from mtlsedge.trust.chain_verifier import ChainFactory
from mtlsedge.trust.pin_verifier import PinFactory
from mtlsedge.trust.san_verifier import SanFactory

mtlsedge = ServiceMaker(
    "mtlsedge",
    "mtlsedge.tap",
    "A TLS edge that decides by client certificate in front of an HTTP origin",
    "mtlsedge",
)
chain = ChainFactory()
pin = PinFactory()
san = SanFactory()
