"""What tokens cost: a model's own price, else the price file's, else the list that genai-prices ships.

Everything is looked up once, when the configuration is taken up, and becomes `Tariff`s: `cost` is then a few
multiplications. A model without a price is an error at that moment or is marked as unpriced; never a silent zero.
"""

from ledger.prices.price_list import PriceList, PriceRule, PricesUnknown
from ledger.prices.rates import GpuRate, LongRates, TokenRates
from ledger.prices.tariff import Tariff

__all__ = ["GpuRate", "LongRates", "PriceList", "PriceRule", "PricesUnknown", "Tariff", "TokenRates"]
