"""Words that say how a sentence is built and not what it is about, in seven languages.

The non-obvious decision: what means something in another of the languages (German *die* and *war*, French *son*,
Dutch *of* and *over*) is no stop word of its own language, unless it is one in both. All lists hold for any text:
to tell the language of four words is guesswork, and a question would then be read otherwise than its answer.
"""

from __future__ import annotations

_ENGLISH = """
a about also am an and any are as at be been being between both but by can could did do does each for from had
has have he her him his how i if in into is isn it its just let like may me more most much my no nor not now of
on only or other our own please same she should so some such tell than that the their them then there these they
this those to too very was we were what when where which who whom whose why will with would yes you your via vs
doesn don ll re s t ve
"""
_GERMAN = """
aber als auch auf aus bei bin bis bitte da damit dann das dass dem den denn der des dies diese diesem diesen
dieser dir dich doch du durch ein eine einem einen einer eines er es für gibt habe haben hat ich ihm ihn ihr
ihre im ist ja kann kein keine können man mein meine mich mir mit muss nach nicht noch nur ob oder ohne sich sie
sind soll um und uns unser unsere unter vom von vor wann warum was welche welcher welches wenn wer werden wie
wird wir wo zu zum zur zwischen über
"""
_FRENCH = """
au aux avec ce ces cet cette dans de des du elle elles en est et eux il ils je la le les leur leurs lui ma mais
mes mon ne nos notre nous ou où par pas quand que quel quelle quelles quels qui quoi sa sans se ses si sont sur
ta tes ton tu un une vos votre vous pourquoi
"""
_SPANISH = """
al como con cómo cuál cuáles cuándo de del desde dónde el él ella ellas ellos en entre es esa ese eso esta este
esto estos fue hay hasta la las le les lo los más mi mis muy ni nos o para pero por porque qué quién que se ser
si sobre son su sus también te tu un una unas unos y ya yo
"""
_ITALIAN = """
ai al alla alle anche che chi ci con cosa cui da dal dalla dei del della delle dello di dove e è gli ho i il in
io la le lei lo loro lui ma mi nel nella non o ogni per perché più quale quali quando quanto questa questo se si
sono su sua sul sulla suo ti tra tu un una uno vi
"""
_PORTUGUESE = """
ao aos as com como da das de do dos e é ela ele em entre essa esse esta este eu foi há isso isto já mais mas me
meu minha muito na não nas no nos o onde os ou para pela pelo por porque qual quais quando que quem se sem ser
seu sua são também te tem um uma você
"""
_DUTCH = """
aan al als bij dan dat de der deze die dit een en er ge geen haar hebben heeft het hij hoe hun ik in is je kan
kunnen maar met mij mijn na naar niet nog om ons onze ook op te tot u uit van voor waar waarom wat welke wie wij
worden wordt ze zich zij zijn zo
"""
_MEANS_SOMETHING = """
ai am bin com con dan den dies dos e em en er esa eu ge hat hay ho hun io man mas met mi mis mon non o os over
per pour si sin son sus te tem u van vi war y die
"""
"""Words of the six lists after the first that are words of substance, names or signs in English texts."""

STOP_WORDS: frozenset[str] = frozenset(_ENGLISH.split()) | (
    frozenset(" ".join((_GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH)).split())
    - frozenset(_MEANS_SOMETHING.split())
)
