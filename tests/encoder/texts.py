"""Texts of the kind that chatbots are sent, from three words to more than the encoder reads."""

TEXTS = [
    "",
    "opening hours",
    "How do I reset my password?",
    "I forgot my password, what now?",
    "Can I return a pair of shoes that I bought 40 days ago?",
    "What is the difference between the Basic and the Pro plan?",
    "My invoice 2024-118 shows 19.90 EUR twice.",
    "Wie kündige ich mein Abonnement?",
    "Do not cancel my order.",
    "Cancel my order.",
    "Where is parcel 00340434161094042557?",
    "請問你們的退貨政策是什麼?",
    "Is the 65 W charger safe for the 2019 model, and may I leave it plugged in overnight? 🔌",
    "Summarise: " + "the river rises in the hills, and falls over the weir below the mill. " * 12,
    "word " * 900,
]
