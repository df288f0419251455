"""What a client is told when a budget refuses: which one, whose, what is left, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.budgets import Budget, Left, Measure, dollars
from contracts.errors import BudgetSpent, BudgetUnavailable, LimitReached
from contracts.money import plain
from ledger.budgets.accounts import Account
from ledger.budgets.windows import Span

_PER = {"minute": "a minute", "day": "a day", "month": "a month", "total": "in all"}
_RETRY_S = 1.0


def refusal(account: Account, amount: int, gone: int, span: Span, now: float) -> LimitReached:
    """The error for a request that would take `amount` of an account of which `gone` is spent or set aside."""
    budget = account.budget
    if budget.shared:
        return _shared(account, amount, span, now)
    left = max(0, budget.limit - gone)
    message = f"{_named(account)} allows {_said(budget.limit, budget.measure)} {_PER[budget.window]}"
    if amount > budget.limit:
        message += f", and this request alone may take {_said(amount, budget.measure)}. Ask for less"
        message += ", for example with a smaller max_tokens." if budget.measure != "requests" else "."
    else:
        message += f"; {_said(left, budget.measure)} {'is' if budget.measure == 'usd' else 'are'} left"
        if left and amount > 1:
            message += f" and this request may take {_said(amount, budget.measure)}"
        message += f". {_until(span)}"
    return _kind(budget)(
        message,
        budget=budget.name,
        measure=budget.measure,
        limit=_figure(budget.limit, budget.measure),
        left=_figure(left, budget.measure),
        resets_at="" if span.resets_at is None else _moment(span.resets_at),
        retry_after_s=_retry_s(account, amount, span, now),
    )


def _shared(account: Account, amount: int, span: Span, now: float) -> LimitReached:
    """Several tenants spend from it: what others left of it is not told to one."""
    budget = account.budget
    return _kind(budget)(
        f"{_named(account)}, which several share, has not enough left for this request. {_until(span)}",
        budget=budget.name,
        measure=budget.measure,
        limit="",
        left="",
        resets_at="" if span.resets_at is None else _moment(span.resets_at),
        retry_after_s=_retry_s(account, amount, span, now),
    )


def _retry_s(account: Account, amount: int, span: Span, now: float) -> float | None:
    """Until it begins anew, where that is soon and helps."""
    budget = account.budget
    if budget.window != "minute" or amount > budget.limit:
        return None
    return max(0.0, span.end - now)


def _kind(budget: Budget) -> type[LimitReached]:
    return BudgetSpent if budget.measure == "usd" else LimitReached


def unavailable(account: Account) -> BudgetUnavailable:
    return BudgetUnavailable(
        f"What is left of the budget '{account.budget.name}' cannot be told right now, so nothing is spent.",
        retry_after_s=_RETRY_S,
    )


def left_of(account: Account, gone: int, span: Span) -> Left:
    budget = account.budget
    left = max(0, budget.limit - gone)
    return Left(budget=budget.name, measure=budget.measure, limit=budget.limit, left=left, resets_at=span.resets_at)


def _named(account: Account) -> str:
    owner = ", ".join(f"{part} {value}" for part, value in account.owner.items())
    return f"The budget '{account.budget.name}'" + (f" of {owner}" if owner else "")


def _until(span: Span) -> str:
    resets_at = span.resets_at
    return "It never begins anew." if resets_at is None else f"It begins anew at {_moment(resets_at)}."


def _said(amount: int, measure: Measure) -> str:
    if measure == "usd":
        return f"${_figure(amount, measure)}"
    return f"{amount} {measure[:-1] if amount == 1 else measure}"


def _figure(amount: int, measure: Measure) -> str:
    return plain(dollars(amount)) if measure == "usd" else str(amount)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
