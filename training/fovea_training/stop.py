"""SIGTERM and SIGINT. Without torch, so that they are heeded from the first moment on."""

import signal


class Stopped(Exception):
    """The training was asked to stop."""


class Stop:
    """Ends a training on SIGTERM or SIGINT: at once while there is nothing to lose, after the batch where deferred is set. A second signal
    has its usual effect."""

    def __init__(self):
        self.asked = self.deferred = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, number, _):
        self.asked = True
        signal.signal(number, signal.SIG_DFL)
        if not self.deferred:
            raise Stopped("stopped; start again to continue")
