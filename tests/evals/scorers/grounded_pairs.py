"""Sentences beside the passages they are about, written by hand: supported or not, and if not, what is wrong.

No pair was taken from an example or data set. `TUNED` were looked at while the scorer was made; `HELD_OUT` were
written at the same time, and nothing was changed for what came of them.
"""

from __future__ import annotations

from typing import NamedTuple

BAKERY = (
    "Harbour Bakery opens at 7:00 and closes at 18:30, Tuesday to Sunday. On Mondays the shop is closed.",
    "Cakes are ordered at least three days ahead, by phone or at orders@harbourbakery.example. A deposit of $25 is"
    " asked for; it is paid back when the order is cancelled 48 hours before pick-up or earlier.",
    "Marta Lindqvist leads the bakery. Our sourdough holds wheat and rye, and no milk. Nuts are used in the"
    " kitchen, so we cannot promise that any product is free from traces.",
)
CLINIC = (
    "La Clínica Robledal atiende de lunes a viernes, de 8:00 a 20:00. Los sábados solo hay urgencias.",
    "La primera consulta cuesta 45 € y dura 40 minutos. Se puede cambiar o anular la cita hasta 24 horas antes sin"
    " coste; después se cobran 20 €.",
    "La doctora Irene Castaño dirige pediatría. Los análisis se recogen en la planta 2 y los resultados llegan por"
    " correo en 5 días. No se aceptan cheques.",
)
TRAIN = (
    "Tickets can be refunded until 2 hours before departure, less a fee of 10%. Saver tickets cannot be refunded.",
    "A bicycle travels for €6 and needs a reservation. Folding bicycles travel free of charge as hand luggage.",
    "The night train to Lindau leaves Hamburg on 14 March 2026 at 21:45. Breakfast is served from 6:30.",
)


class Pair(NamedTuple):
    passages: tuple[str, ...]
    sentence: str
    supported: bool
    kind: str


TUNED = (
    Pair(BAKERY, "The bakery opens at 7:00 and closes at 18:30.", True, "same words"),
    Pair(BAKERY, "We are open from Tuesday to Sunday and closed on Mondays.", True, "reworded"),
    Pair(BAKERY, "The bakery opens at 8:00.", False, "number"),
    Pair(BAKERY, "Please order cakes three days ahead.", True, "reworded"),
    Pair(BAKERY, "Please order cakes 5 days ahead.", False, "number"),
    Pair(BAKERY, "The deposit of $25 is paid back when you cancel 48 hours before pick-up.", True, "reworded"),
    Pair(BAKERY, "A deposit of €25 is asked for.", False, "amount"),
    Pair(BAKERY, "The bakery is led by Marta Lindqvist.", True, "reworded"),
    Pair(BAKERY, "The bakery is led by Marta Holm.", False, "name"),
    Pair(BAKERY, "Write to orders@harbourbakery.example to order a cake.", True, "reworded"),
    Pair(BAKERY, "Write to cakes@harbourbakery.example to order a cake.", False, "address"),
    Pair(
        BAKERY,
        "The sourdough holds wheat and rye, and the recipe won a regional prize for tradition.",
        False,
        "extra",
    ),
    Pair(BAKERY, "Our sourdough holds milk.", False, "denied"),
    Pair(BAKERY, "Gift wrapping costs nothing extra.", False, "extra"),
    Pair(CLINIC, "La clínica atiende de lunes a viernes de 8:00 a 20:00.", True, "same words"),
    Pair(CLINIC, "La clínica atiende de lunes a jueves.", False, "date"),
    Pair(CLINIC, "La primera consulta cuesta 45 € y dura 40 minutos.", True, "same words"),
    Pair(CLINIC, "La primera consulta cuesta 54 €.", False, "amount"),
    Pair(CLINIC, "Puedes anular tu cita sin coste hasta 24 horas antes.", True, "reworded"),
    Pair(CLINIC, "Se aceptan cheques.", False, "denied"),
    Pair(CLINIC, "Pediatría la dirige la doctora Irene Castaño.", True, "reworded"),
    Pair(CLINIC, "Pediatría la dirige la doctora Irene Valdés.", False, "name"),
    Pair(CLINIC, "Los resultados llegan en cinco días por correo.", True, "reworded"),
    Pair(CLINIC, "El aparcamiento es gratuito para pacientes.", False, "extra"),
    Pair(TRAIN, "Saver tickets cannot be refunded.", True, "same words"),
    Pair(TRAIN, "Saver tickets can be refunded.", False, "denied"),
    Pair(TRAIN, "The night train leaves Hamburg on March 14, 2026 at 21:45.", True, "reworded"),
    Pair(TRAIN, "The night train leaves Hamburg on March 15, 2026.", False, "date"),
)

HELD_OUT = (
    Pair(BAKERY, "The shop closes at 18:30.", True, "reworded"),
    Pair(BAKERY, "The shop closes at 19:30.", False, "number"),
    Pair(BAKERY, "On Mondays we're closed.", True, "reworded"),
    Pair(BAKERY, "On Wednesdays the shop is closed.", False, "date"),
    Pair(BAKERY, "You can order cakes by phone or by e-mail at orders@harbourbakery.example.", True, "reworded"),
    Pair(BAKERY, "We ask for a $25 deposit.", True, "reworded"),
    Pair(BAKERY, "We ask for a $35 deposit.", False, "amount"),
    Pair(BAKERY, "There is no milk in our sourdough.", True, "reworded"),
    Pair(BAKERY, "Since nuts are used in the kitchen, we can't promise products without traces.", True, "reworded"),
    Pair(BAKERY, "We promise that our products are free from traces of nuts.", False, "denied"),
    Pair(BAKERY, "Your money is returned if you call the whole thing off two days in advance.", True, "paraphrase"),
    Pair(BAKERY, "Peter Lindqvist leads the bakery.", False, "name"),
    Pair(BAKERY, "The bakery was founded by Marta's grandmother.", False, "extra"),
    Pair(BAKERY, "Cakes are delivered to your home by bicycle.", False, "extra"),
    Pair(CLINIC, "Los sábados solo atendemos urgencias.", True, "reworded"),
    Pair(CLINIC, "Los domingos solo hay urgencias.", False, "date"),
    Pair(CLINIC, "Si anulas más tarde, se cobran 20 €.", True, "reworded"),
    Pair(CLINIC, "Después se cobran 25 €.", False, "amount"),
    Pair(CLINIC, "Los análisis se recogen en la planta 2.", True, "same words"),
    Pair(CLINIC, "Los análisis se recogen en la planta 3.", False, "number"),
    Pair(CLINIC, "No aceptamos cheques.", True, "reworded"),
    Pair(CLINIC, "La doctora Castaño es jefa de pediatría.", True, "paraphrase"),
    Pair(CLINIC, "La doctora Castaño estudió medicina en Salamanca.", False, "extra"),
    Pair(CLINIC, "La consulta dura 40 minutos e incluye una radiografía gratuita del tórax.", False, "extra"),
    Pair(TRAIN, "Bicycles need a reservation and cost €6.", True, "reworded"),
    Pair(TRAIN, "Folding bicycles travel free of charge.", True, "same words"),
    Pair(TRAIN, "Folding bicycles cost €6.", False, "elsewhere"),
    Pair(TRAIN, "The refund fee is 10 percent.", True, "reworded"),
    Pair(TRAIN, "The refund fee is 15%.", False, "number"),
    Pair(TRAIN, "The night train to Lindau leaves Berlin at 21:45.", False, "name"),
    Pair(TRAIN, "The night train to Lindau leaves on 2026-03-14.", True, "reworded"),
    Pair(TRAIN, "Breakfast is served from 6:30.", True, "same words"),
    Pair(TRAIN, "Breakfast is included in every ticket.", False, "extra"),
)
