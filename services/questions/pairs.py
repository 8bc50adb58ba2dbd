"""Two periods of a question that are compared with each other."""

from __future__ import annotations

from datetime import date

from services.questions.draft import Draft
from services.questions.spans import Ahead, Before, Span, following, two_months

Found = Span | Ahead | Before


def two_periods(draft: Draft, periods: list[Found], today: date) -> tuple[list[Found], Span | None]:
    """The periods without the earlier one of two that are compared, and that one. Raises NotUnderstoodError."""
    spans = [period for period in periods if isinstance(period, Span)]
    if len(spans) < len(periods) or not any(draft.has(name) for name in ("compare", "change", "against")):
        return periods, None
    # of `compare November and December`, where nothing else is compared
    compares = draft.has("compare") and not (draft.has("group") or draft.has("daily")) and len(draft.filters) < 2
    if len(spans) == 1 and (draft.has("change") or compares) and (two := two_months(spans[0])):
        spans = two
    if len(spans) == 1 and draft.has("against") and (later := following(spans[0])):
        spans.append(later)
    if len(spans) == 2:
        earlier, later = sorted(spans, key=lambda span: span.first)
        if later.first <= earlier.last:
            raise draft.fail("The two periods overlap.", "Die beiden Zeiträume überschneiden sich.")
        if later.last >= today:
            draft.note("The later period is not over.", "Der spätere Zeitraum ist noch nicht zu Ende.")
        return [later], earlier
    if draft.has("change"):
        raise draft.fail(
            "It asks for a change: name two periods, as in `this month compared to last month`.",
            "Es fragt nach einer Veränderung: nennen Sie zwei Zeiträume, wie in `diese Woche gegenüber letzter Woche`.",
        )
    return periods, None
