"""A process that sends messages by Apprise, so that whoever answers can take neither memory nor time without end.

Apprise reads an answer whole, however long it is and however slowly it comes, and has no setting for either. The
process reads lines of JSON: first the URL, then {"title": str, "text": str} for each message. It answers each by one
line of JSON: {} or null for a URL that cannot be used, then {"sent": bool, "refused": bool, "said": str}.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

MEMORY_BYTES = 512_000_000  # Apprise needs 100 MB
SAID_CHARACTERS = 2000


class _Warnings(logging.Handler):
    """Collects what Apprise warns of: the only place where it says why a service did not take a message."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage()[:SAID_CHARACTERS])


def _sent(plugin: Any, message: dict[str, str], warnings: _Warnings) -> dict[str, object]:
    warnings.lines.clear()
    try:
        # declared as text, the body is escaped for each service: a label <!channel> must not call everyone in Slack
        sent = plugin.notify(title=message["title"], body=message["text"], body_format="text")
    except (TypeError, ValueError) as error:
        return {"sent": False, "refused": True, "said": f"Apprise cannot send it: {error}"[:SAID_CHARACTERS]}
    except MemoryError:
        return {"sent": False, "refused": False, "said": "its answer is too large and was not read to its end"}
    return {"sent": bool(sent), "refused": False, "said": "; ".join(warnings.lines)[:SAID_CHARACTERS]}


def main() -> None:
    import resource

    import apprise

    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    limits = {limit for limit in (resource.getrlimit(resource.RLIMIT_DATA)[1], MEMORY_BYTES) if limit > 0}
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), min(limits)))
    warnings = _Warnings()
    logging.getLogger("apprise").addHandler(warnings)
    plugin = apprise.Apprise.instantiate(json.loads(sys.stdin.readline()), suppress_exceptions=True)
    if plugin is None:
        print("null", file=answers, flush=True)
        return
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_sent(plugin, json.loads(line), warnings)), file=answers, flush=True)


if __name__ == "__main__":
    main()
