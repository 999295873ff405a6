"""Access to the live page: only a browser of this machine that knows a secret."""

import re
import secrets

# Names of this machine in an address. A tunnel may change the port, but not the name.
ORIGIN = re.compile(r"https?://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.IGNORECASE)
# Most bytes of a request. A page of 60 answers with long names of classes is shorter.
MOST_REQUEST_BYTES = 100_000


class Access:
    """The secret of a run, which is in the address that the command prints, and then in a cookie.

    `once` is a second secret, for one visit.
    """

    def __init__(self):
        self.secret, self.once = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        # Several pages of this machine may be open in one browser.
        self.cookie = f"sksemobridge-{secrets.token_hex(4)}", self.secret

    def enters(self, secret, cookies):
        """Whether an address with this secret, or a browser with these cookies, gets the cookie."""
        if _same(secret, self.once):
            self.once = None
            return True
        return _same(secret, self.secret) or self._knows(cookies)

    def _knows(self, cookies):
        name, secret = self.cookie
        return _same(cookies.get(name), secret)

    def refusal(self, request):
        """The reason why a request is refused, and the status, or None."""
        headers, is_page = request.headers, request.scope["path"] == "/"
        host = f"http://{headers.get('host')}"
        is_named = ORIGIN.fullmatch(host) and ORIGIN.fullmatch(headers.get("origin", host))
        # The name of another host, or a page of another port, may lead here: such requests are
        # refused. A link on another page may lead to the page itself.
        if not is_named or (
            not is_page and headers.get("sec-fetch-site", "same-origin") != "same-origin"
        ):
            return "This page answers to itself alone.", 403
        n_bytes = int(headers.get("content-length", 0))
        if "transfer-encoding" in headers or n_bytes > MOST_REQUEST_BYTES:
            return f"At most {MOST_REQUEST_BYTES} bytes of a known length.", 413
        if not (is_page and "secret" in request.query_params) and not self._knows(request.cookies):
            return "Open the address that the command printed.", 403
        # Pages of other sites cannot send JSON without a preflight request, which is refused.
        if (
            request.method == "POST"
            and headers.get("content-type", "").split(";")[0] != "application/json"
        ):
            return "Requests are application/json.", 415
        return None


def _same(text, secret):
    """Compare in constant time, which says nothing about the secret."""
    return (
        text is not None
        and secret is not None
        and secrets.compare_digest(text.encode(), secret.encode())
    )
