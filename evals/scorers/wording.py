"""Words of English and Spanish, and a few of their neighbours, that say nothing about the matter at hand.

All are without accents and in lower case. In other languages their counterparts count as words like any other.
"""

from __future__ import annotations

import re

_ENGLISH = """
    the and for are was were but you your yours our ours his her hers him she they them their its who whom which
    what when where how why that this these those then than there here with from into onto out over under about
    after before until while during through between within can could may might must shall should will would has
    have had having does did doing done been being also just only very more most much many some any each every
    other another such same own all both few too yet still again once because since though although however
    therefore thus per via let get gets got way always simply need needs want able either whether upon"""
_SPANISH = """
    los las una uno unos unas del que con por para como mas pero sus nuestro nuestra nuestros nuestras este esta
    esto estos estas ese esa eso esos esas ser son era fue han has hay estan estar tiene tienen tener tienes
    puede pueden puedes poder debe deben debes sobre entre hasta desde cuando donde tambien muy todo toda todos
    todas cada otro otra otros otras mismo misma porque aunque ellos ellas usted ustedes nosotros vez asi les
    nos sea sera solo tus cual cuales quien dentro durante segun hacer necesita necesitas"""
FUNCTION_WORDS = frozenset((_ENGLISH + _SPANISH).split())

_NOT = """
    not no never none nothing neither nor cannot without nunca ni ningun ninguna ninguno nada jamas sin tampoco
    nicht kein keine nie pas jamais nao"""
NEGATIONS = frozenset(_NOT.split())

_POLITE = """
    hello hey welcome thanks thank please sorry apologies apologise apologize sure course certainly absolutely
    great good glad happy help helps helping assist assistance know feel free ask hope question questions
    anything else contact reach further details see day nice today yes answer answers following here information
    hola buenos buenas dias tardes noches gracias claro supuesto siento lamento perdon disculpa disculpe
    encantado encantada gusto favor ayudar ayudarte ayudarle ayuda espero duda dudas dudes avisame digame
    pregunta preguntas saber algo bienvenido bienvenida siguiente informacion"""
COURTESY = frozenset(_POLITE.split())
"""Of greetings, thanks and offers. A sentence of nothing else makes no claim."""

REFUSAL = re.compile(
    r"^\W*(?:(?:i(?:['’]?m|\s+am)\s+)?(?:sorry|afraid|unfortunately)\W+(?:but\s+)?(?:that\s+)?)?(?:i|we)\s+"
    r"(?:can['’]?t|cannot|could\s?n['’]?t|could\s+not|do\s?n['’]?t|do\s+not|did\s?n['’]?t|did\s+not|am\s+not|are\s+not|(?:a|was)m?\s+unable)\s+"
    r"(?:(?:currently|really|actually)\s+)?(?:help|assist|answer|find|know|have|see|say|tell|able|sure|allowed|advise|provide)\b"
    r"(?!.*\b(?:but|however|though)\b)"
    r"|^\W*(?:lo\s+siento\W+(?:pero\s+)?)?no\s+(?:puedo|podemos|sé|"
    r"se(?=\s+(?:la|el|si|qu[eé]|c[oó]mo|nada|eso)\b|\W*$)|sabemos|tengo|tenemos|encuentro|encontr[eé]|dispongo)\b"
    r"(?!.*\b(?:pero|sin\s+embargo)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""A sentence that says what the speaker cannot do or does not know, and goes on to nothing else."""

_SOURCES = (
    r"(?:documents?|passages?|sources?|articles?|pages?|texts?|context|materials?|information|knowledge\s+base)"
)
_FUENTES = r"(?:documentos?|pasajes?|fuentes?|art[ií]culos?|p[aá]ginas?|textos?|contexto|informaci[oó]n)"
UNANSWERED = re.compile(
    rf"\b(?:i|we)(?:['’]ve|\s+have)?\s+found\s+(?:nothing|no\s+\w+)\b"
    rf"|\b(?:i|we)\s+have\s+no\s+(?:\w+\s+)?(?:information|answer|details?)\b"
    rf"|\b(?:nothing|no\s+(?:\w+\s+)?(?:information|answer|mention|details?|{_SOURCES}))\b[^.!?]{{0,60}}"
    rf"\b(?:found|given|available|provided)\b"
    rf"|\bthere(?:['’]s|\s+(?:is|are|was))\s+(?:nothing|no\s+(?:\w+\s+)?(?:information|answer|mention|details?))\b"
    rf"|\b{_SOURCES}\b[^.!?,;]{{0,40}}\b(?:do(?:es)?|did)(?:\s+not|n['’]t)\s+"
    rf"(?:\w+\s+)?(?:say|mention|contain|cover|answer|hold|tell|include|state|specify|address|describe|provide|give)\b"
    rf"|\b{_SOURCES}\b[^.!?,;]{{0,40}}\b(?:say|contain|hold|have|give|make|mention)s?\s+(?:nothing|no)\b"
    rf"|\b(?:is|are|was)(?:\s+not|n['’]t)\s+(?:\w+\s+)?"
    rf"(?:mentioned|covered|stated|answered|described|specified|found|said)\b[^.!?,;]{{0,30}}\b{_SOURCES}\b"
    rf"|\bno\s+(?:he|hemos|se\s+ha|se\s+han)\s+(?:encontrado|hallado)\b|\bno\s+(?:encontr[eé]|encontramos|hall[eé])\b"
    rf"|\bno\s+hay\s+(?:nada|ning[uú]na?\s+\w+|informaci[oó]n|respuesta)\b"
    rf"|\b{_FUENTES}\b[^.!?,;]{{0,40}}\bno\s+(?:\w+\s+)?"
    rf"(?:dicen?|mencionan?|contienen?|responden?|incluyen?|indican?|explican?|tratan?)\b"
    rf"|\bno\s+(?:se\s+)?(?:menciona|indica|dice|explica|aparece|encuentra|figura)n?\b[^.!?,;]{{0,40}}\b{_FUENTES}\b"
    r"|\b(?:ich\s+habe|habe\s+ich)\b[^.!?]{0,60}\b(?:nichts|keine?n?)\b[^.!?]{0,40}\bgefunden\b"
    r"|\bje\s+n['’]ai\s+(?:rien|pas)\s+trouv[eé]\b",
    re.IGNORECASE,
)
"""A sentence that says that nothing was found, or that sources do not hold what was asked for."""

SPELLED = {
    word: str(number)
    for names in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
        "cero _ dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince",
    )
    for number, word in enumerate(names.split())
    if number != 1
} | {
    "twenty": "20",
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "ninety": "90",
    "hundred": "100",
    "veinte": "20",
    "treinta": "30",
    "cuarenta": "40",
    "cincuenta": "50",
    "sesenta": "60",
    "noventa": "90",
    "cien": "100",
    "twice": "2",
}
"""Numbers as words, but for one, which is an article too; "once" of Spanish is a word of English."""

_CALENDAR = {
    "month": (
        "january february march april may june july august september october november december",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    ),
    "weekday": (
        "monday tuesday wednesday thursday friday saturday sunday",
        "lunes martes miercoles jueves viernes sabado domingo",
    ),
}
CALENDAR = {
    name: f"{kind} {place}"
    for kind, languages in _CALENDAR.items()
    for names in languages
    for place, name in enumerate(names.split(), 1)
}
AMBIGUOUS = frozenset({"march", "may"})
"""Months that are other words as well."""

UNITS = {
    "%": "%",
    "percent": "%",
    "por ciento": "%",
    "$": "$",
    "dollar": "$",
    "dollars": "$",
    "dolar": "$",
    "dolares": "$",
    "usd": "$",
    "€": "€",
    "euro": "€",
    "euros": "€",
    "eur": "€",
    "£": "£",
    "pounds": "£",
    "gbp": "£",
    "¥": "¥",
    "₹": "₹",
}
"""What a number may be an amount of; two amounts are the same if they are of the same, or one does not say."""
