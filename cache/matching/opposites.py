"""Words of which one question may have one and the other its opposite: their answers differ.

The non-obvious decision: a list, and of our own. Vectors put opposites side by side ("enable" is nearer to
"disable" than to "switch on"), since they stand in the same sentences.
"""

from __future__ import annotations

from cache.matching.words import stem_of

_PAIRS = """
enable disable; on off; open close; open shut; start stop; start end; start finish; begin end; begin finish
begin stop; activate deactivate; lock unlock; freeze unfreeze; block unblock; add remove; add delete
create delete; create remove; create destroy; insert delete; attach detach; connect disconnect
install uninstall; subscribe unsubscribe; follow unfollow; mute unmute; hide show; hide reveal; pause resume
stop resume; stop continue; buy sell; purchase sell; borrow lend; deposit withdraw; deposit withdrawal
send receive; give take; give receive; push pull; import export; upload download; encode decode
encrypt decrypt; compress decompress; zip unzip; increase decrease; raise lower; rise fall; rise drop
grow shrink; gain lose; win lose; expand contract; up down; accept reject; accept decline; approve reject
approve deny; allow forbid; allow block; allow deny; permit forbid; grant revoke; include exclude; join leave
enter exit; enter leave; arrive depart; arrive leave; arrival departure; come go; login logout; save spend
save delete; keep discard; remember forget; owe refund; pay refund; pay receive; charge refund; debit credit
income expense; profit loss; asset liability; hire fire; promote demote; load unload; lift lower
tighten loosen; freeze thaw; heat cool; melt freeze; fill empty; cheap expensive; cheapest expensive; high low
highest lowest; higher lower; large small; largest smallest; larger smaller; big small; biggest smallest
bigger smaller; long short; longest shortest; longer shorter; most least; most fewest; more less; more fewer
maximum minimum; max min; best worst; better worse; good bad; early late; earliest latest; earlier later
first last; new old; newest oldest; newer older; fast slow; fastest slowest; faster slower; hot cold; warm cool
hard easy; hard soft; hardest easiest; difficult easy; heavy light; strong weak; rich poor; young old
deep shallow; wide narrow; thick thin; tall short; tallest shortest; near far; nearest farthest
closest farthest; full empty; true false; right wrong; correct incorrect; right left; safe dangerous
safe unsafe; legal illegal; possible impossible; visible hidden; public private; internal external
inbound outbound; incoming outgoing; domestic international; local remote; online offline; manual automatic
static dynamic; odd even; positive negative; plus minus; add subtract; multiply divide; vertical horizontal
front back; front rear; top bottom; upper lower; above below; over under; before after; inside outside; in out
with without; for against; to from; since until; always never; everything nothing; everybody nobody
everyone nobody; all none; any none; some none; both neither; many few; day night; morning evening; am pm
today tomorrow; today yesterday; tomorrow yesterday; weekday weekend; summer winter; north south; east west
northern southern; eastern western; male female; man woman; men women; husband wife; father mother
brother sister; son daughter; boy girl; king queen; parent child; teacher student; doctor patient; buyer seller
sender recipient; sender receiver; lender borrower; employer employee; landlord tenant; client server
input output; source destination; origin destination; ascending descending; advantage disadvantage
benefit drawback; pros cons; strength weakness; success failure; pass fail; friend enemy; peace war; life death
birth death; born died; cause effect; cause cure; question answer; single married; single return
nonstop connecting; direct connecting; prepaid postpaid; fixed variable; gross net; pre post; roth traditional
checking savings; debit prepaid; stock bond; call put; bull bear; primary secondary; optional mandatory
optional required; temporary permanent; lost found; lost stolen; empty full; awake asleep; alive dead
cover exclude; charge waive; expire renew
"""


def _table() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for pair in _PAIRS.replace("\n", ";").split(";"):
        if not pair.strip():
            continue
        one, other = map(stem_of, pair.split())
        table.setdefault(one, set()).add(other)
        table.setdefault(other, set()).add(one)
    return {stem: frozenset(others) for stem, others in table.items()}


OPPOSITES = _table()
"""By stem."""
